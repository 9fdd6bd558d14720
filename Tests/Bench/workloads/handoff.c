/* SPDX-License-Identifier: Apache-2.0
 *
 * handoff PAIRS: one thread allocates (16 to 527 bytes), another frees. Blocks change hands in batches, under a
 * lock, so that waiting costs sleep and not CPU.
 */
#include "timing.h"

#include <pthread.h>

enum { BATCH = 1024, BATCHES = 8 };

static char *ring[BATCHES][BATCH];
static uint64_t filled, emptied, batches;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void publish(uint64_t *counter)
{
    pthread_mutex_lock(&lock);
    ++*counter;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void *consume(void *argument)
{
    uint64_t *sum = argument;
    for (uint64_t batch = 0; batch < batches; batch++) {
        pthread_mutex_lock(&lock);
        while (filled == emptied)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        for (unsigned i = 0; i < BATCH; i++) {
            char *block = ring[batch % BATCHES][i];
            *sum += (unsigned char)block[0];
            free(block);
        }
        publish(&emptied);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    batches = (strtoull(argv[1], NULL, 10) + BATCH - 1) / BATCH;
    uint64_t sum = 0, state = 1;
    pthread_t consumer;
    uint64_t start = bench_cpu(CLOCK_PROCESS_CPUTIME_ID);
    if (pthread_create(&consumer, NULL, consume, &sum) != 0)
        return 71;
    for (uint64_t batch = 0; batch < batches; batch++) {
        pthread_mutex_lock(&lock);
        while (filled - emptied == BATCHES)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        for (unsigned i = 0; i < BATCH; i++) {
            uint64_t r = bench_random(&state);
            char *block = malloc(16 + (r & 511));
            if (!block)
                abort();
            block[0] = (char)r;
            ring[batch % BATCHES][i] = block;
        }
        publish(&filled);
    }
    pthread_join(consumer, NULL);
    bench_report(batches * BATCH, bench_cpu(CLOCK_PROCESS_CPUTIME_ID) - start);
    printf("handoff %llu %llu\n", (unsigned long long)(batches * BATCH), (unsigned long long)sum);
    return 0;
}
