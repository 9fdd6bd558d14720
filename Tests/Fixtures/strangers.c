/* SPDX-License-Identifier: Apache-2.0
 *
 * Frees blocks that nobody has allocated, each beside one that somebody has. To be run on interruptible.c, whose free does
 * nothing: another allocator would end the program.
 *
 * Makes 1,000 blocks of 40 bytes and 1,000 of 640, and frees half of each after the strangers.
 */
#include <stdlib.h>

#define BLOCKS 1000
#define SMALL 40
#define LARGE 640

/* The compiler must not see what is done here. */
__attribute__((noinline, noclone)) static void free_beside(char *block, int distance)
{
    block += distance;
    __asm__ volatile("" : "+r"(block));
    free(block);
}

int main(void)
{
    static char *small[BLOCKS], *large[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        small[i] = malloc(SMALL);
        large[i] = malloc(LARGE);
        if (!small[i] || !large[i])
            return 1;
    }
    for (int i = 0; i < BLOCKS; i++) {
        free_beside(small[i], 8); /* the same unit of the live map, its other half */
        free_beside(large[i], 8);
        free_beside(large[i], 24); /* the unit that holds the rest of the block's entry */
    }
    for (int i = 0; i < BLOCKS; i += 2) {
        free(small[i]);
        free(large[i]);
    }
    return 0;
}
