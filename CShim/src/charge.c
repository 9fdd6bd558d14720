/* SPDX-License-Identifier: Apache-2.0
 *
 * From an allocation to its counters, when the memo has no answer. See memtrack_charge in counters.h.
 */
#include "counters.h"
#include "python.h"

uint8_t memtrack_class_table[MEMTRACK_CLASS_TABLE];

MEMTRACK_COLD struct memtrack_counters *memtrack_counters_slow(struct memtrack_thread *thread, uint32_t cell,
                                                               uint64_t size)
{
    uint32_t index = cell;
    if (cell >= MEMTRACK_FIRST_CELL) {
        index = cell - thread->cell_bias;
        if (memtrack_is_inherited(cell))
            index = memtrack_builtin_cell(MEMTRACK_KIND_INHERITED, size);
    }
    if (index >= MEMTRACK_MAX_COUNTER_INDEX)
        return NULL;
    struct memtrack_counters *chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    return chunk ? chunk + index % MEMTRACK_COUNTERS_PER_CHUNK : memtrack_counters_make(thread, index);
}

/* As memtrack_counters_peak, where others count too: who comes first stores the pair. A change that another thread makes
 * meanwhile may be in it. */
static void shared_peak(struct memtrack_counters *counters)
{
    uint32_t epoch = MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch);
    uint32_t sequence = MEMTRACK_LOAD(&counters->peak_sequence);
    if (MEMTRACK_LOAD(&counters->peak_epoch) == epoch || sequence & 1 ||
        !__atomic_compare_exchange_n(&counters->peak_sequence, &sequence, sequence + 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    MEMTRACK_STORE(&counters->peak_blocks,
                   (int64_t)(MEMTRACK_LOAD(&counters->allocations) - MEMTRACK_LOAD(&counters->frees)));
    MEMTRACK_STORE(&counters->peak_bytes,
                   (int64_t)(MEMTRACK_LOAD(&counters->allocated_bytes) - MEMTRACK_LOAD(&counters->freed_bytes)));
    MEMTRACK_STORE(&counters->peak_epoch, epoch);
    MEMTRACK_STORE_RELEASE(&counters->peak_sequence, sequence + 2);
}

static struct memtrack_counters *unmarked(struct memtrack_counters *counters)
{
    return (struct memtrack_counters *)((uintptr_t)counters & ~(uintptr_t)1);
}

MEMTRACK_COLD void memtrack_count_shared_allocation(struct memtrack_counters *counters, uint64_t blocks, uint64_t size)
{
    counters = unmarked(counters);
    shared_peak(counters);
    MEMTRACK_ADD(&counters->allocated_bytes, size);
    __atomic_fetch_add(&counters->allocations, blocks, __ATOMIC_RELEASE);
}

MEMTRACK_COLD void memtrack_count_shared_free(struct memtrack_counters *counters, uint64_t blocks, uint64_t size,
                                              bool temporary)
{
    counters = unmarked(counters);
    shared_peak(counters);
    MEMTRACK_ADD(&counters->freed_bytes, size);
    __atomic_fetch_add(&counters->frees, blocks, __ATOMIC_RELEASE);
    if (temporary)
        MEMTRACK_ADD(&counters->temporary, blocks);
}

/* A hook that goes on in a forked child: nothing of its parent's may get into the child's tables. */
static bool is_of_parent(const struct memtrack_thread *thread)
{
    return thread->memo->region != MEMTRACK_LOAD(&memtrack_rt.region) || MEMTRACK_LOAD(&memtrack_rt.stopped);
}

MEMTRACK_COLD struct memtrack_counters *memtrack_charge_slow(struct memtrack_thread *thread, const uintptr_t *frame,
                                                             uint64_t size, struct memtrack_memo_entry *entry,
                                                             uint32_t *cell)
{
    uint32_t size_class = memtrack_size_class(size);
    uint32_t stack;
    if (MEMTRACK_UNLIKELY(is_of_parent(thread)))
        return NULL;
    if (MEMTRACK_UNLIKELY(memtrack_is_cramped(thread, frame))) {
        MEMTRACK_HEALTH(foreign_stacks, 1);
        *cell = memtrack_builtin_cell(MEMTRACK_KIND_NO_STACK, size);
        return memtrack_counters_for(thread, *cell, size);
    }
    const struct memtrack_walk *walk = NULL;
    if (memtrack_rt.special)
        stack = memtrack_stack_special(thread, frame);
    else if (entry)
        stack = entry->stack;
    else
        walk = memtrack_stack_miss(thread, frame, &stack);
    if (MEMTRACK_UNLIKELY(is_of_parent(thread)))
        return NULL;
    if (MEMTRACK_UNLIKELY(thread->python != NULL)) {
        if (walk)
            entry = memtrack_stack_keep(thread, frame, walk, stack);
        walk = NULL;
        struct memtrack_counters *merged = stack ? memtrack_python_merged(thread, stack, size, cell) : NULL;
        if (merged)
            return merged;
    }
    *cell = memtrack_cell(stack, size_class);
    struct memtrack_counters *counters = memtrack_counters_for(thread, *cell, size);
    if (MEMTRACK_LIKELY(counters && *cell >= MEMTRACK_FIRST_CELL)) {
        bool is_shared = memtrack_counters_are_shared(counters);
        /* Many a stack of a compiler comes once. To keep it costs as much as to walk it: the second time will do. */
        if (walk && (is_shared || counters->allocations))
            entry = memtrack_stack_keep(thread, frame, walk, stack);
        /* Where Python runs, C's stack is half of the answer: the memo knows that half, and no counters. */
        if (entry && !is_shared && !thread->python)
            memtrack_memo_remember(thread->memo, entry, size_class, *cell, counters);
        return counters;
    }
    MEMTRACK_HEALTH(overflow_cells, 1);
    *cell = memtrack_builtin_cell(MEMTRACK_KIND_OVERFLOW, size);
    counters = memtrack_counters_for(thread, *cell, size);
    if (counters)
        return counters;
    counters = memtrack_shared_counters(*cell); /* bank 0 has some, see region_file.c */
    return counters ? (struct memtrack_counters *)((uintptr_t)counters | 1) : NULL;
}
