/* SPDX-License-Identifier: Apache-2.0
 *
 * cells CELLS THREADS SECONDS - makes a region with CELLS cells, each used by THREADS threads, then prints "ready"
 * and goes on for SECONDS allocating at all of them, so slowly that a reader sees a program that lives.
 *
 * A cell is a stack of its own (20 deep, one of two call sites a level) in one of twelve size classes; half of the blocks stay.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))

static int cells;
static volatile int done;
static pthread_barrier_t all_made;

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
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

SITE static void one(int cell, int keep)
{
    void *block = descend(20, (unsigned)cell, (size_t)1 << (cell % 12));
    if (!block)
        abort();
    if (!keep)
        free(block);
}

static void *work(void *unused)
{
    (void)unused;
    /* One call for both parts: the stacks are the same. */
    for (volatile long n = 0; !done; n++) { /* volatile: else the compiler makes two loops of it */
        one((int)(n % cells), n < cells && n % 2);
        if (n == cells - 1)
            pthread_barrier_wait(&all_made);
        if (n >= cells && n % 100 == 0)
            usleep(10000);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 64;
    cells = atoi(arguments[1]);
    int threads = atoi(arguments[2]);
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    pthread_barrier_init(&all_made, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, NULL))
            return 1;
    pthread_barrier_wait(&all_made);
    puts("ready");
    fflush(stdout);
    struct timespec pause = {.tv_sec = atoi(arguments[3])};
    nanosleep(&pause, NULL);
    done = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
