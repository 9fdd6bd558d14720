/* SPDX-License-Identifier: Apache-2.0
 *
 * guarded.c - a program with an allocator of its own, as a browser has it: it starts at the first call, under a lock, and
 * names its memory with prctl meanwhile. Who allocates within that waits for ever; here, ends with status 9. With
 * -DLIBRARY: a library whose constructor makes the first call, before that of anything preloaded.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifdef LIBRARY
#include <stdlib.h>

void *volatile guarded_kept;

__attribute__((constructor)) static void first(void)
{
    guarded_kept = malloc(80);
}
#else
static _Alignas(16) char arena[1 << 20];
static size_t used;
static int started, lock;
extern void *volatile guarded_kept;

static void start(void)
{
    if (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        _exit(9);
    prctl(PR_SET_NAME, "guarded");
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, arena, sizeof(arena), "guarded");
    started = 1;
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

void *malloc(size_t size)
{
    if (!started)
        start();
    size_t at = __atomic_fetch_add(&used, (size + 31) & ~(size_t)15, __ATOMIC_RELAXED);
    if (at + size + 16 > sizeof(arena))
        return NULL;
    *(size_t *)(void *)&arena[at] = size;
    return &arena[at + 16];
}

void free(void *block)
{
    (void)block;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* never used twice, so zero */
}

void *realloc(void *block, size_t size)
{
    void *fresh = malloc(size);
    if (fresh && block) {
        size_t had = ((size_t *)block)[-2];
        memcpy(fresh, block, had < size ? had : size);
    }
    return fresh;
}

int main(void)
{
    return guarded_kept && started ? 3 : 4;
}
#endif
