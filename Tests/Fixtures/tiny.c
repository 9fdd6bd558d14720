/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of at most 8 bytes, some of them freed again: other allocators than glibc's place them 8 bytes apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *kept[10000];

__attribute__((noinline)) static void keep_tiny(void)
{
    for (int i = 0; i < 10000; i++)
        kept[i] = malloc((size_t)(i % 8) + 1);
    for (int i = 0; i < 10000; i += 4) {
        free(kept[i]);
        kept[i] = NULL;
    }
}

int main(void)
{
    char byte;
    keep_tiny();
    puts("ready");
    fflush(stdout);
    return read(0, &byte, 1) < 0 || !kept[1];
}
