/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting one allocation or free in the calling thread's bank: plain loads and stores, since a bank has one
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

/* The counters of a cell in the thread's bank. A cell of the fork parent stands for "inherited" (frees alone).
 * NULL where the region gives no page. */
MEMTRACK_INLINE struct memtrack_counters *memtrack_counters_for(struct memtrack_thread *thread, uint32_t cell,
                                                                uint64_t size)
{
    uint32_t index = cell;
    if (cell >= MEMTRACK_FIRST_CELL) {
        index = cell - thread->cell_bias;
        if (MEMTRACK_UNLIKELY(cell < thread->cell_bias + MEMTRACK_FIRST_CELL))
            index = memtrack_builtin_cell(MEMTRACK_KIND_INHERITED, size);
    }
    if (MEMTRACK_UNLIKELY(index >= MEMTRACK_MAX_COUNTER_INDEX))
        return NULL;
    struct memtrack_counters *chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    if (MEMTRACK_UNLIKELY(!chunk))
        return memtrack_counters_make(thread, index);
    return chunk + index % MEMTRACK_COUNTERS_PER_CHUNK;
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

MEMTRACK_INLINE void memtrack_count_allocation(struct memtrack_thread *thread, struct memtrack_counters *counters,
                                               uint64_t size)
{
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_STORE(&counters->allocated_bytes, counters->allocated_bytes + size);
    MEMTRACK_STORE_RELEASE(&counters->allocations, counters->allocations + 1);
    thread->delta += (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta >= (int64_t)MEMTRACK_FLUSH_BYTES))
        memtrack_flush(thread);
}

MEMTRACK_INLINE void memtrack_count_free(struct memtrack_thread *thread, struct memtrack_counters *counters,
                                         uint64_t size, bool temporary)
{
    if (MEMTRACK_UNLIKELY(thread->delta > thread->headroom))
        memtrack_flush(thread);
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_STORE(&counters->freed_bytes, counters->freed_bytes + size);
    MEMTRACK_STORE_RELEASE(&counters->frees, counters->frees + 1);
    if (temporary)
        MEMTRACK_STORE(&counters->temporary, counters->temporary + 1);
    thread->delta -= (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta <= -(int64_t)MEMTRACK_FLUSH_BYTES))
        memtrack_flush(thread);
}

#endif
