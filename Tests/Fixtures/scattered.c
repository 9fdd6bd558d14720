/* SPDX-License-Identifier: Apache-2.0
 *
 * scattered THREADS: threads that count a little in very many places. Each makes 500 blocks of random sizes at random ones of
 * 1,024 call stacks; then every block is freed, one half of them by the next thread. Last, each makes 1,000 more at one place.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define SITE __attribute__((noinline, noclone))
#define BLOCKS 500
#define OFTEN 1000

static int threads;
static pthread_barrier_t all;
static void *(*made)[BLOCKS];

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

SITE static void often(void)
{
    void *volatile block = malloc(100000);
    free(block);
}

static void *work(void *argument)
{
    int self = (int)(intptr_t)argument;
    uint32_t state = (uint32_t)self * 2654435761u + 1;
    for (int i = 0; i < BLOCKS; i++) {
        state = state * 1664525u + 1013904223u;
        made[self][i] = descend(10, state >> 22, 16 + (state >> 8) % 2000);
    }
    pthread_barrier_wait(&all);
    for (int i = 0; i < BLOCKS; i++)
        free(made[i % 2 ? self : (self + 1) % threads][i]);
    pthread_barrier_wait(&all);
    for (int i = 0; i < OFTEN; i++)
        often();
    return NULL;
}

int main(int count, char **arguments)
{
    threads = count > 1 ? atoi(arguments[1]) : 50;
    pthread_t *thread = calloc((size_t)threads, sizeof *thread);
    made = calloc((size_t)threads, sizeof *made);
    pthread_barrier_init(&all, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i))
            return 77;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    free(made);
    free(thread);
    return 0;
}
