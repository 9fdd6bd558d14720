/* SPDX-License-Identifier: Apache-2.0
 *
 * A program whose allocations are known: each function below is one site, FixtureTests.swift has its figures.
 * It prints nothing (stdio would allocate) and returns 0 where each call did what the standard says.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

static void *kept[2000];
static int used;

SITE static void leak_100(void)
{
    void *block = malloc(100); /* SITE leak_100 */
    KEEP(block);
    kept[used++] = block;
}

SITE static void *make_sized(size_t size)
{
    void *block = malloc(size); /* SITE make_sized */
    KEEP(block);
    return block;
}

SITE static void temporary_48(void)
{
    void *block = malloc(48); /* SITE temporary_48 */
    KEEP(block);
    free(block);
}

SITE static void *zeroed(size_t count, size_t size)
{
    char *block = calloc(count, size); /* SITE zeroed */
    for (size_t i = 0; i < count * size; i++)
        if (block[i])
            abort();
    return block;
}

SITE static void *grown(void *block, size_t size)
{
    block = realloc(block, size); /* SITE grown */
    KEEP(block);
    return block;
}

SITE static void *grown_array(void *block, size_t count, size_t size)
{
    block = reallocarray(block, count, size); /* SITE grown_array */
    KEEP(block);
    return block;
}

static int is_aligned(void *block, size_t alignment)
{
    return block && (uintptr_t)block % alignment == 0;
}

SITE static int aligned_family(void)
{
    void *block[5] = {0};
    int error = posix_memalign(&block[0], 64, 1001); /* SITE posix_memalign */
    block[1] = aligned_alloc(256, 2048);
    block[2] = memalign(4096, 3003);
    block[3] = valloc(4004);
    block[4] = pvalloc(5005);
    KEEP(block);
    int good = error == 0 && is_aligned(block[0], 64) && is_aligned(block[1], 256) && is_aligned(block[2], 4096) &&
               is_aligned(block[3], 4096) && is_aligned(block[4], 4096);
    for (int i = 0; i < 5; i++)
        good &= malloc_usable_size(block[i]) >= 1001;
    for (int i = 0; i < 5; i++)
        free(block[i]);
    return good;
}

SITE static int refusals(void)
{
    volatile size_t much = SIZE_MAX / 4;
    void *block = make_sized(77);
    errno = 0;
    int good = grown(block, much) == NULL && errno == ENOMEM; /* the old block lives on */
    errno = 0;
    good &= grown_array(block, much, 16) == NULL && errno == ENOMEM;
    errno = 0;
    good &= make_sized(much) == NULL && errno == ENOMEM;
    good &= calloc(much, 16) == NULL;
    void *untouched = block;
    good &= posix_memalign(&untouched, 3, 8) == EINVAL && untouched == block;
    errno = 1234;
    free(block);
    free(NULL);
    return good && errno == 1234;
}

/* A peak in the middle that the end does not show: 64 blocks of 10,000 bytes. */
SITE static void mountain(void)
{
    void *block[64];
    for (int i = 0; i < 64; i++) {
        block[i] = malloc(10000); /* SITE mountain */
        KEEP(block[i]);
    }
    for (int i = 0; i < 64; i++)
        free(block[i]);
}

/* With an argument: without the calls that valgrind takes another view of (it has no pvalloc). */
int main(int count, char **arguments)
{
    (void)arguments;
    for (int i = 0; i < 1000; i++)
        leak_100();
    mountain();
    for (int i = 0; i < 500; i++)
        temporary_48();

    /* One block of each size around the borders of the classes, then freed in another order. */
    static const size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 127, 128, 1023, 1024, 100000, 400000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    void *block[COUNT];
    for (int i = 0; i < COUNT; i++)
        block[i] = make_sized(sizes[i]);
    for (int i = 0; i < COUNT; i++)
        free(block[(i * 7) % COUNT]);

    for (int i = 1; i <= 10; i++)
        free(zeroed((size_t)i, 30));

    void *growing = NULL;
    for (size_t size = 10; size <= 10240; size *= 2)
        growing = grown(growing, size); /* 11 allocations, 10 of which free the block before */
    if (count > 1) {
        free(growing);
        return 0;
    }
    growing = grown(growing, 0); /* glibc: frees, and returns NULL */
    free(grown_array(NULL, 12, 12));

    char *copy = strdup("0123456789");
    int good = aligned_family() && refusals() && growing == NULL && strcmp(copy, "0123456789") == 0;
    free(copy);
    return good ? 0 : 1;
}
