/* SPDX-License-Identifier: Apache-2.0
 *
 * sampled SEED [COUNT]: COUNT (20,000) blocks of 16 to 1015 bytes from each of two places, those of one grown by
 * realloc and every second of them freed. Prints what each place has live in the end: blocks and bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 1000000
#define SITE __attribute__((noinline))

static uint32_t state;

static size_t next_size(void)
{
    state = state * 1664525 + 1013904223;
    return 16 + (state >> 16) % 1000;
}

SITE static void *keeps_all(size_t size)
{
    void *block = malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

SITE static void *keeps_half(size_t size)
{
    void *block = realloc(malloc(8), size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

int main(int argc, char **argv)
{
    state = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    int count = argc > 2 ? atoi(argv[2]) : 20000;
    if (count < 1 || count > MOST)
        return 64;
    static void *blocks[MOST];
    size_t all = 0, half = 0;
    for (int i = 0; i < count; i++) {
        size_t size = next_size();
        all += size;
        if (!keeps_all(size))
            return 1;
    }
    for (int i = 0; i < count; i++) {
        size_t size = next_size();
        half += i % 2 ? size : 0;
        if (!(blocks[i] = keeps_half(size)))
            return 1;
    }
    for (int i = 0; i < count; i += 2)
        free(blocks[i]);
    printf("%d %zu %d %zu\n", count, all, count / 2, half);
    return 0;
}
