/* SPDX-License-Identifier: Apache-2.0
 *
 * Sample points, weights and the filter. See sampling.h. The library needs nothing but libc, so it has a logarithm and an
 * exponential of its own; they run once a sample.
 */
#include "sampling.h"

MEMTRACK_LARGE uint8_t memtrack_filter[MEMTRACK_FILTER_BYTES];

#define LN2 0.693147180559945309417
#define UNIT 0x1p-53

/* ln(x) for 0 < x <= 1: the exponent, and the series of atanh for the rest. */
static double logarithm(double x)
{
    int exponent = 0;
    while (x < 0.5) {
        x *= 2;
        exponent--;
    }
    double s = (x - 1) / (x + 1), square = s * s, power = s, sum = 0;
    for (int i = 1; i < 40; i += 2) {
        sum += power / i;
        power *= square;
    }
    return 2 * sum + exponent * LN2;
}

/* 1 - exp(-x) for x >= 0: the series near 0, then squares of exp(-x / 2^n). */
static double sampled_share(double x)
{
    if (x > 40)
        return 1;
    int halvings = 0;
    while (x > 0.5) {
        x /= 2;
        halvings++;
    }
    double term = x, share = 0;
    for (int i = 2; i < 20; i++) {
        share += term;
        term *= -x / i;
    }
    for (; halvings > 0; halvings--)
        share = share * (2 - share); /* 1 - (1 - share)^2 */
    return share;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

MEMTRACK_COLD void memtrack_sample_next(struct memtrack_thread *thread)
{
    if (!thread->sample_chance)
        thread->sample_chance = mix(memtrack_clock_ns(CLOCK_MONOTONIC) ^ (uint64_t)thread->tid << 40);
    thread->sample_chance += UINT64_C(0x9e3779b97f4a7c15);
    double uniform = (double)((mix(thread->sample_chance) >> 11) + 1) * UNIT; /* 0 < uniform <= 1 */
    thread->sample_left = (int64_t)(-logarithm(uniform) * (double)memtrack_rt.sample_bytes);
}

MEMTRACK_COLD struct memtrack_weight memtrack_sample_weight(uint64_t size)
{
    const double one = 1u << MEMTRACK_WEIGHT_SHIFT;
    double share = sampled_share((double)size / (double)memtrack_rt.sample_bytes);
    if (share >= 1 || share <= 0)
        return (struct memtrack_weight){1u << MEMTRACK_WEIGHT_SHIFT, size};
    return (struct memtrack_weight){(uint64_t)(one / share + 0.5), (uint64_t)((double)size / share + 0.5)};
}

static MEMTRACK_COLD void filter_change(uintptr_t address, bool added)
{
    uint8_t *place = memtrack_filter_place(address), count = MEMTRACK_LOAD(place);
    while (count != MEMTRACK_FILTER_STUCK && (added || count) &&
           !__atomic_compare_exchange_n(place, &count, (uint8_t)(added ? count + 1 : count - 1), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* The block is entered into the live map; false where there is no room. */
bool memtrack_follow(uintptr_t address, uint64_t size, uint32_t cell)
{
    if (!memtrack_livemap_put(address, size, cell))
        return false;
    if (memtrack_rt.sample_bytes)
        filter_change(address, true);
    return true;
}

struct memtrack_block memtrack_unfollow(uintptr_t address)
{
    struct memtrack_block found = {0, 0};
    if (memtrack_is_followed(address)) {
        found = memtrack_livemap_take(address);
        if (found.cell && memtrack_rt.sample_bytes)
            filter_change(address, false);
    }
    return found;
}
