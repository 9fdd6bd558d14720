/* SPDX-License-Identifier: Apache-2.0
 *
 * Sampling (`--sample BYTES`): the stack is taken of some allocations only.
 *
 * MODEL. Sample points lie at random in the stream of bytes that a thread allocates, a Poisson process with one point
 * in `sample_bytes` on average. A block of s bytes is sampled if a point falls into it: with probability
 * p = 1 - exp(-s / sample_bytes). It then stands for 1 / p blocks of s / p bytes: its WEIGHT, so that sums over sampled blocks
 * are unbiased estimates. It follows from the size alone: so the free finds the same weight again, and what is allocated and
 * freed cancels out to nothing. Blocks are counted in 256ths: a whole number would have to be rounded up or down at
 * random, with the address as the source of chance, and an allocator gives out the same address again and again.
 *
 * Counters of cells, the live total and the peak are such estimates. Allocations by size class are counted all the
 * same, exactly: in the counters of indexes 0 to MEMTRACK_CLASSES - 1, which belong to no cell.
 *
 * Blocks that were not sampled are not in the live map. So that a free need not look there, a filter counts the sampled blocks
 * by a hash of the address: 16 KiB, in the cache; a free of most blocks reads one byte of it.
 *
 * Literature: Poisson sampling and the weight are those of tcmalloc's and Go's heap profilers.
 */
#ifndef MEMTRACK_SAMPLING_H
#define MEMTRACK_SAMPLING_H

#include "counters.h"

#define MEMTRACK_FILTER_BYTES 16384u
#define MEMTRACK_FILTER_STUCK 255u /* counted too far: stays for good */

extern uint8_t memtrack_filter[MEMTRACK_FILTER_BYTES] __attribute__((visibility("hidden")));

/* Draws the distance to the next sample point. */
void memtrack_sample_next(struct memtrack_thread *thread);
#define MEMTRACK_WEIGHT_SHIFT 8u
/* What a block stands for, in units of the counters (header.weight_shift). */
struct memtrack_weight {
    uint64_t blocks, bytes;
};
/* Of a sampled one. */
struct memtrack_weight memtrack_sample_weight(uint64_t size);
/* Enters a block into the live map, or takes it out (cell 0: it is not there), and tells the filter. */
bool memtrack_follow(uintptr_t address, uint64_t size, uint32_t cell);
struct memtrack_block memtrack_unfollow(uintptr_t address);

MEMTRACK_INLINE uint8_t *memtrack_filter_place(uintptr_t address)
{
    return &memtrack_filter[(address >> 4 ^ address >> 17) % MEMTRACK_FILTER_BYTES];
}

/* False: the block is certainly not one that the live map knows. */
MEMTRACK_INLINE bool memtrack_is_followed(uintptr_t address)
{
    return !memtrack_rt.sample_bytes || MEMTRACK_LOAD(memtrack_filter_place(address));
}

MEMTRACK_INLINE struct memtrack_weight memtrack_weight(uint64_t size)
{
    return MEMTRACK_LIKELY(!memtrack_rt.sample_bytes) ? (struct memtrack_weight){1, size} : memtrack_sample_weight(size);
}

/* Counts an allocation by size class, and brings the thread `size` bytes nearer to its next sample point: true where that
 * lies in this block. The additions are one instruction each, so a signal handler may come in between. */
MEMTRACK_INLINE bool memtrack_sample_step(struct memtrack_thread *thread, struct memtrack_counters *of_class, uint64_t size)
{
    MEMTRACK_BUMP(&of_class->allocated_bytes, size);
    MEMTRACK_BUMP(&of_class->allocations, 1);
    return (thread->sample_left -= (int64_t)size) < 0;
}

#endif
