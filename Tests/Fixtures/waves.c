/* SPDX-License-Identifier: Apache-2.0
 *
 * `waves THREADS ROUNDS`: each thread builds heaps of random shape up and down again, so that the total has many peaks, each
 * made of other sizes; blocks pass from thread to thread, and some are grown by realloc.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define BLOCKS 512

static _Atomic(void *) shelf[64];
static int rounds;

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void *work(void *seed)
{
    uint32_t state = (uint32_t)(uintptr_t)seed;
    void *block[BLOCKS] = {0};
    for (int round = 0; round < rounds; round++) {
        unsigned class = next(&state) % 10;
        unsigned count = next(&state) % BLOCKS;
        for (unsigned i = 0; i < count; i++) {
            size_t size = ((size_t)8 << class) + next(&state) % 8;
            if (block[i] && next(&state) % 4 == 0) {
                block[i] = realloc(block[i], size);
            } else {
                free(block[i]);
                block[i] = malloc(size);
            }
            if (next(&state) % 8 == 0)
                block[i] = __atomic_exchange_n((void **)&shelf[next(&state) % 64], block[i], __ATOMIC_ACQ_REL);
        }
        for (unsigned i = next(&state) % BLOCKS; i < BLOCKS; i++) {
            free(block[i]);
            block[i] = NULL;
        }
    }
    for (int i = 0; i < BLOCKS; i++)
        free(block[i]);
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t thread[16];
    if (count != 3)
        return 64;
    int threads = atoi(arguments[1]);
    rounds = atoi(arguments[2]);
    if (threads == 0) {
        work((void *)(uintptr_t)7);
        return 0;
    }
    for (int i = 0; i < threads && i < 16; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(i + 1)))
            return 1;
    for (int i = 0; i < threads && i < 16; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
