/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_test.h - what the unwinder's tests share: counting checks, and reproducible random numbers.
 *
 * A check that fails prints one line (the first 20 only) and goes on. A program ends with
 * `return tally_end("name")`: the line "name: N passed, N failed", and the number of failures, at most 125,
 * as its exit status.
 */
#ifndef MEMTRACK_UNWIND_TEST_H
#define MEMTRACK_UNWIND_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static unsigned long tally_passed, tally_failed;

__attribute__((format(printf, 2, 3), unused)) static bool check(bool good, const char *format, ...)
{
    if (good) {
        tally_passed++;
        return true;
    }
    if (tally_failed++ < 20) {
        __builtin_va_list arguments;
        __builtin_va_start(arguments, format);
        fprintf(stderr, "FAILED: ");
        vfprintf(stderr, format, arguments);
        fprintf(stderr, "\n");
        __builtin_va_end(arguments);
    }
    return false;
}

__attribute__((unused)) static int tally_end(const char *name)
{
    printf("%s: %lu passed, %lu failed\n", name, tally_passed, tally_failed);
    return tally_failed > 125 ? 125 : (int)tally_failed;
}

/* splitmix64 */
__attribute__((unused)) static uint64_t mix(uint64_t value)
{
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

__attribute__((unused)) static uint64_t random_next(uint64_t *state)
{
    return mix((*state)++);
}

#endif
