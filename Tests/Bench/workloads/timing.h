/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops time themselves, so that start-up does not count: "pairs CPU-nanoseconds" goes to the file named by
 * BENCH_TIMING. CPU time, never wall time: of the process, or summed over its threads. Nothing here allocates.
 */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* `clock`: CLOCK_PROCESS_CPUTIME_ID or CLOCK_THREAD_CPUTIME_ID */
static inline uint64_t bench_cpu(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void bench_report(uint64_t pairs, uint64_t nanoseconds)
{
    const char *path = getenv("BENCH_TIMING");
    if (!path)
        return;
    char text[64];
    int length = snprintf(text, sizeof text, "%llu %llu\n", (unsigned long long)pairs,
                          (unsigned long long)nanoseconds);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return;
    if (write(fd, text, (size_t)length) != length)
        unlink(path);
    close(fd);
}

/* xorshift64*: the same sequence everywhere. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
