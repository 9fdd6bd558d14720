/* SPDX-License-Identifier: Apache-2.0
 *
 * `limits huge`      a block of 300 GiB and a slightly larger one; 77 where they are refused
 * `limits many N`    N distinct stacks, each with a block of its own size class, half of them freed; prints what is in them
 * `limits heap N`    N MiB in blocks of 1 MiB and of 1 KiB, all written, all freed
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

static int huge(void)
{
    volatile size_t size = (size_t)300 << 30;
    void *block = malloc(size);
    if (!block)
        return 77;
    KEEP(block);
    void *other = malloc(size + 4097);
    if (!other)
        return 77;
    KEEP(other);
    free(block);
    free(other);
    return 0;
}

/* The bits of `path` choose which of two call sites each level goes through. */
SITE static void *descend(int depth, unsigned path, size_t size)
{
    void *block;
    if (depth == 0) {
        block = malloc(size);
    } else if (path & 1) {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# odd"); /* else the compiler makes one call of the two */
    } else {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# even");
    }
    KEEP(block);
    return block;
}

static int many(int count)
{
    unsigned char **block = mmap(NULL, (size_t)count * sizeof(*block) + 1, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* no allocation of its own */
    for (int i = 0; i < count; i++) {
        size_t size = (size_t)1 << (i % 12);
        block[i] = descend(20, (unsigned)i, size);
        if (!block[i])
            return 1;
        memset(block[i], i, size);
        if (i % 2)
            free(block[i]);
    }
    unsigned long sum = 0;
    for (int i = 0; i < count; i += 2)
        sum = sum * 31 + block[i][0] + block[i][((size_t)1 << (i % 12)) - 1];
    char text[32];
    int length = snprintf(text, sizeof(text), "%lu\n", sum);
    return write(1, text, (size_t)length) != length;
}

static int heap(int megabytes)
{
    char **block = calloc((size_t)megabytes * 1025, sizeof(*block));
    int count = 0;
    if (!block)
        return 1;
    for (int i = 0; i < megabytes; i++) {
        size_t size = i % 2 ? 1024 : 1048576;
        for (size_t made = 0; made < 1048576; made += size) {
            block[count] = malloc(size);
            if (!block[count])
                return 2;
            memset(block[count++], i, size);
        }
    }
    while (count > 0)
        free(block[--count]);
    free(block);
    return 0;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    int number = count > 2 ? atoi(arguments[2]) : 0;
    if (strcmp(mode, "huge") == 0)
        return huge();
    if (strcmp(mode, "many") == 0)
        return many(number);
    if (strcmp(mode, "heap") == 0)
        return heap(number);
    return 64;
}
