/* SPDX-License-Identifier: Apache-2.0
 *
 * misses PAIRS DEPTH new|changed|inner|inner-new - malloc(64) and free where the call stack is another one each time.
 *
 * Each of the DEPTH levels calls through one of two call sites, chosen by a bit of a path; from level 20 up by the
 * bits of the first 20 again.
 *   new        each path once: every stack has to be unwound, and its frames written down from the first that differs
 *   changed    2,048 paths in random order: stacks that are known, and rarely the one before
 *   inner      the same, but only the innermost three levels change from call to call
 *   inner-new  each path once, counted up from the inside: on average the innermost two levels change
 */
#include "timing.h"

#include <string.h>

#define SITE __attribute__((noinline, noclone))

static volatile char sink;

SITE static void descend(int depth, uint64_t path)
{
    if (depth == 0) {
        volatile char *block = malloc(64);
        if (!block)
            abort();
        block[0] = (char)path;
        sink = block[0];
        free((void *)block);
    } else if (path & 1) {
        descend(depth - 1, path >> 1);
        __asm__ volatile("# odd"); /* else the compiler makes one call of the two */
    } else {
        descend(depth - 1, path >> 1);
        __asm__ volatile("# even");
    }
}

/* Bit 0 becomes bit 63. */
static uint64_t reversed(uint64_t bits)
{
    bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
    bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
    bits = (bits >> 4 & 0x0f0f0f0f0f0f0f0fu) | (bits & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(bits);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    uint64_t pairs = strtoull(argv[1], NULL, 10);
    int depth = (int)strtol(argv[2], NULL, 10);
    int is_new = strcmp(argv[3], "new") == 0, is_inner = strcmp(argv[3], "inner") == 0;
    int is_inner_new = strcmp(argv[3], "inner-new") == 0;
    uint64_t state = 88172645463325252u;
    uint64_t start = bench_cpu(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < pairs; i++) {
        uint64_t path = is_new ? i : bench_random(&state) >> 40 & (is_inner ? 7 : 2047);
        if (is_inner_new)
            path = reversed(i) >> (64 - depth);
        else if (is_inner)
            path = path << (depth - 3); /* the bits are used from the outside in */
        else
            path |= path << 20;
        descend(depth, path);
    }
    bench_report(pairs, bench_cpu(CLOCK_PROCESS_CPUTIME_ID) - start);
    printf("misses %llu\n", (unsigned long long)pairs);
    return 0;
}
