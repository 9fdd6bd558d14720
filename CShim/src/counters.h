/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting one allocation or free in the calling thread's bank: plain additions, since a bank has one
 * writer. The layout, and what a peak pair means, is in memtrack/region.h.
 *
 * The process-wide live total is kept from each thread's `delta`, handed over every MEMTRACK_FLUSH_BYTES. While the
 * process has one thread the peak is exact all the same: before a free that starts to come down from a new
 * maximum (delta > headroom) the delta is handed over first.
 */
#ifndef MEMTRACK_COUNTERS_H
#define MEMTRACK_COUNTERS_H

#include "livemap.h"
#include "stacks.h"

/* Size classes of small sizes, for the hot path; filled by memtrack_boot. */
#define MEMTRACK_CLASS_TABLE 1024u
extern uint8_t memtrack_class_table[MEMTRACK_CLASS_TABLE] __attribute__((visibility("hidden")));

/* The same for cells that are built in or a fork parent's, and for chunks not made yet. NULL where the region gives no
 * page. In charge.c.
 *
 * A thread has no chunk yet where it has counted little (threads.c): then these are the counters of bank 0, which all threads
 * share, and the pointer says so in its lowest bit. Only the two functions below may follow it. */
struct memtrack_counters *memtrack_counters_slow(struct memtrack_thread *thread, uint32_t cell, uint64_t size);

/* The counters of a cell in the thread's bank; NULL where there are none to be had. */
MEMTRACK_INLINE struct memtrack_counters *memtrack_counters_for(struct memtrack_thread *thread, uint32_t cell,
                                                                uint64_t size)
{
    uint32_t index = cell - thread->cell_bias;
    if (MEMTRACK_LIKELY(index - MEMTRACK_FIRST_CELL < MEMTRACK_MAX_COUNTER_INDEX - MEMTRACK_FIRST_CELL)) {
        struct memtrack_counters *chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
        if (MEMTRACK_LIKELY(chunk != NULL))
            return chunk + index % MEMTRACK_COUNTERS_PER_CHUNK;
    }
    return memtrack_counters_slow(thread, cell, size);
}

MEMTRACK_INLINE bool memtrack_counters_are_shared(const struct memtrack_counters *counters)
{
    return (uintptr_t)counters & 1;
}

/* When the memo does not have the counters of an allocation: takes the stack, finds the cell and its counters, and
 * puts them into the memo. NULL: not even the overflow cell has counters. In charge.c. */
struct memtrack_counters *memtrack_charge_slow(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size,
                                               struct memtrack_memo_entry *entry, uint32_t *cell);

/* The size class, for the memo. Not a class where the live map needs more than a slot and its neighbour for the size: no
 * memo entry has that one, so that such an allocation goes the long way. */
MEMTRACK_INLINE uint32_t memtrack_class_of(uint64_t size)
{
    if (MEMTRACK_LIKELY(size < MEMTRACK_CLASS_TABLE))
        return memtrack_class_table[size];
    return MEMTRACK_LIKELY(size < MEMTRACK_LARGE_SIZE) ? memtrack_size_class(size) : MEMTRACK_CLASSES + 1;
}

/* Counters to charge an allocation to, and in *cell the cell they belong to; NULL: the block goes uncounted. */
MEMTRACK_INLINE struct memtrack_counters *memtrack_charge(struct memtrack_thread *thread, const uintptr_t *frame,
                                                          uint64_t size, uint32_t *cell)
{
    struct memtrack_memo_entry *entry = NULL;
    if (MEMTRACK_LIKELY(!memtrack_rt.special)) {
        entry = memtrack_memo_find(thread->memo, frame[1], (uintptr_t)&frame[1],
                                   (const uint64_t *)thread->stack_top);
        struct memtrack_counters *counters;
        if (MEMTRACK_LIKELY(entry && memtrack_memo_way(thread->memo, entry, memtrack_class_of(size), &counters, cell)))
            return counters;
    }
    return memtrack_charge_slow(thread, frame, size, entry, cell);
}

/* Stores the live value of a cell as of the present peak, before the first change after it. */
MEMTRACK_INLINE void memtrack_counters_peak(struct memtrack_counters *counters, uint32_t epoch)
{
    if (MEMTRACK_LIKELY(counters->peak_epoch == epoch))
        return;
    uint32_t sequence = counters->peak_sequence | 1; /* odd already where a handler's longjmp left us here */
    MEMTRACK_STORE(&counters->peak_sequence, sequence);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    MEMTRACK_STORE(&counters->peak_blocks, (int64_t)(counters->allocations - counters->frees));
    MEMTRACK_STORE(&counters->peak_bytes, (int64_t)(counters->allocated_bytes - counters->freed_bytes));
    MEMTRACK_STORE(&counters->peak_epoch, epoch);
    MEMTRACK_STORE_RELEASE(&counters->peak_sequence, sequence + 1);
}

/* In bank 0. `counters` may be marked as shared. In charge.c. */
void memtrack_count_shared_allocation(struct memtrack_counters *counters, uint64_t blocks, uint64_t size);
void memtrack_count_shared_free(struct memtrack_counters *counters, uint64_t blocks, uint64_t size, bool temporary);

/* `blocks` blocks of `size` bytes in all. */
MEMTRACK_INLINE void memtrack_count_allocation(struct memtrack_thread *thread, struct memtrack_counters *counters,
                                               uint64_t blocks, uint64_t size)
{
    if (MEMTRACK_UNLIKELY(memtrack_counters_are_shared(counters))) {
        memtrack_count_shared_allocation(counters, blocks, size);
    } else {
        memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
        MEMTRACK_BUMP(&counters->allocated_bytes, size);
        MEMTRACK_BUMP(&counters->allocations, blocks);
    }
    thread->delta += (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta >= (int64_t)MEMTRACK_FLUSH_BYTES))
        memtrack_flush(thread);
}

MEMTRACK_INLINE void memtrack_count_free(struct memtrack_thread *thread, struct memtrack_counters *counters,
                                         uint64_t blocks, uint64_t size, bool temporary)
{
    if (MEMTRACK_UNLIKELY(thread->delta > thread->headroom))
        memtrack_flush(thread);
    if (MEMTRACK_UNLIKELY(memtrack_counters_are_shared(counters))) {
        memtrack_count_shared_free(counters, blocks, size, temporary);
    } else {
        memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
        MEMTRACK_BUMP(&counters->freed_bytes, size);
        MEMTRACK_BUMP(&counters->frees, blocks);
        if (temporary)
            MEMTRACK_BUMP(&counters->temporary, blocks);
    }
    thread->delta -= (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta <= -(int64_t)MEMTRACK_FLUSH_BYTES))
        memtrack_flush(thread);
}

#endif
