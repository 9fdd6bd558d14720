/* SPDX-License-Identifier: Apache-2.0
 *
 * sites OPERATIONS THREADS: 1,000 call paths, 20 frames deep, random sizes of 16 to 4,096 bytes, 100,000 blocks
 * alive in all. Each operation frees a random block and allocates another; they are timed, filling the heap and
 * emptying it are not. Threads share OPERATIONS and blocks evenly, each with its own, so that the work is the same
 * for any number of threads.
 */
#include "timing.h"

#include <pthread.h>

enum { LIVE = 100000, DEPTH = 18 /* plus work() and its caller */, MOST_THREADS = 64 };

static __attribute__((noinline)) char *level(unsigned depth, unsigned path, size_t size);

/* The statement after the call keeps the ten calls apart: ten return addresses. */
#define WAY(n)                                          \
    case n:                                             \
        block = level(depth - 1, path / 10, size);      \
        __asm__ volatile("# way %c1" : "+r"(block) : "i"(n)); \
        break;

static __attribute__((noinline)) char *level(unsigned depth, unsigned path, size_t size)
{
    char *block = NULL;
    if (depth == 1) {
        block = malloc(size);
        if (!block)
            abort();
    } else if (depth == 15 || depth == 9 || depth == 3) {
        switch (path % 10) {
            WAY(0) WAY(1) WAY(2) WAY(3) WAY(4) WAY(5) WAY(6) WAY(7) WAY(8) WAY(9)
        }
    } else {
        block = level(depth - 1, path, size);
    }
    __asm__ volatile("" : "+r"(block));
    return block;
}

struct share {
    uint64_t operations, seed, nanoseconds, sum;
    size_t live;
};

static __attribute__((noinline)) void *work(void *argument)
{
    struct share *share = argument;
    uint64_t state = share->seed, sum = 0, start = 0;
    char **blocks = calloc(share->live, sizeof *blocks);
    if (!blocks)
        abort();
    for (uint64_t i = 0; i < share->live + share->operations; i++) {
        if (i == share->live)
            start = bench_cpu(CLOCK_THREAD_CPUTIME_ID);
        uint64_t r = bench_random(&state);
        size_t at = i < share->live ? i : (r >> 32) % share->live;
        if (blocks[at]) {
            sum += (unsigned char)blocks[at][0];
            free(blocks[at]);
        }
        size_t size = 16 + (r & 0xffff) % 4081;
        blocks[at] = level(DEPTH, (unsigned)((r >> 16) % 1000), size);
        blocks[at][0] = (char)size;
    }
    share->nanoseconds = bench_cpu(CLOCK_THREAD_CPUTIME_ID) - start;
    for (size_t i = 0; i < share->live; i++) {
        sum += (unsigned char)blocks[i][0];
        free(blocks[i]);
    }
    free(blocks);
    share->sum = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    uint64_t operations = strtoull(argv[1], NULL, 10);
    unsigned threads = (unsigned)strtoul(argv[2], NULL, 10);
    if (operations < 1 || threads < 1 || threads > MOST_THREADS)
        return 64;
    static struct share shares[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    for (unsigned i = 0; i < threads; i++)
        shares[i] = (struct share){.operations = operations / threads, .seed = i + 1, .live = LIVE / threads};
    if (threads == 1)
        work(&shares[0]);
    else
        for (unsigned i = 0; i < threads; i++)
            if (pthread_create(&ids[i], NULL, work, &shares[i]) != 0)
                return 71;
    uint64_t pairs = 0, nanoseconds = 0, sum = 0;
    for (unsigned i = 0; i < threads; i++) {
        if (threads > 1)
            pthread_join(ids[i], NULL);
        pairs += shares[i].operations;
        nanoseconds += shares[i].nanoseconds;
        sum += shares[i].sum;
    }
    bench_report(pairs, nanoseconds);
    printf("sites %llu %llu\n", (unsigned long long)pairs, (unsigned long long)sum);
    return 0;
}
