/* SPDX-License-Identifier: Apache-2.0
 *
 * pair ITERATIONS DEPTH: malloc(64) and free in a tight loop, DEPTH frames below main (1: in a function that
 * main calls). The best case of a memo, and what is left of a profiler when nothing changes.
 */
#include "timing.h"

static uint64_t iterations;

static __attribute__((noinline)) uint64_t loop(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < iterations; i++) {
        volatile char *block = malloc(64);
        if (!block)
            abort();
        block[0] = (char)i;
        sum += (unsigned char)block[0];
        free((void *)block);
    }
    return sum;
}

static __attribute__((noinline)) uint64_t descend(unsigned depth)
{
    uint64_t sum = depth <= 1 ? loop() : descend(depth - 1);
    __asm__ volatile("" : "+r"(sum)); /* work after the call: not a tail call, so a frame of its own */
    return sum;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    iterations = strtoull(argv[1], NULL, 10);
    unsigned depth = (unsigned)strtoul(argv[2], NULL, 10);
    uint64_t start = bench_cpu(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t sum = depth <= 1 ? loop() : descend(depth - 1);
    bench_report(iterations, bench_cpu(CLOCK_PROCESS_CPUTIME_ID) - start);
    printf("pair %llu\n", (unsigned long long)sum);
    return 0;
}
