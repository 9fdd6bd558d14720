/* SPDX-License-Identifier: Apache-2.0
 *
 * heap MEGABYTES SMALLEST LARGEST THREADS SECONDS - a heap of blocks of random sizes, all written, from 1,000 sites,
 * made by THREADS threads; prints "ready" and the bytes asked for, then stays for SECONDS.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "timing.h"

#define SITE __attribute__((noinline, noclone))

static size_t share, smallest, largest;
static _Atomic size_t made;
static pthread_barrier_t all_made, all_done;

SITE static void *descend(int depth, unsigned path, size_t size)
{
    void *block;
    if (depth == 0) {
        block = malloc(size);
    } else if (path & 1) {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# odd");
    } else {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# even");
    }
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

static void *work(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed * 2654435761u + 1;
    for (size_t mine = 0; mine < share;) {
        uint64_t random = bench_random(&state);
        size_t size = smallest + (size_t)(random >> 32) % (largest - smallest + 1);
        void *block = descend(10, (unsigned)(random % 1000), size);
        if (!block)
            abort();
        memset(block, 1, size);
        mine += size;
        made += size;
    }
    pthread_barrier_wait(&all_made);
    pthread_barrier_wait(&all_done);
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 6)
        return 64;
    int threads = atoi(arguments[4]);
    share = ((size_t)atoi(arguments[1]) << 20) / (size_t)threads;
    smallest = (size_t)atoi(arguments[2]);
    largest = (size_t)atoi(arguments[3]);
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    pthread_barrier_init(&all_made, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&all_done, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(i + 1)))
            return 1;
    pthread_barrier_wait(&all_made);
    printf("ready %zu\n", made);
    fflush(stdout);
    sleep((unsigned)atoi(arguments[5]));
    pthread_barrier_wait(&all_done);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
