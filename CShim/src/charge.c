/* SPDX-License-Identifier: Apache-2.0
 *
 * From an allocation to its counters, when the memo has no answer. See memtrack_charge in counters.h.
 */
#include "counters.h"

uint8_t memtrack_class_table[MEMTRACK_CLASS_TABLE];

MEMTRACK_COLD struct memtrack_counters *memtrack_counters_slow(struct memtrack_thread *thread, uint32_t cell,
                                                               uint64_t size)
{
    uint32_t index = cell;
    if (cell >= MEMTRACK_FIRST_CELL) {
        index = cell - thread->cell_bias;
        if (cell < thread->cell_bias + MEMTRACK_FIRST_CELL) /* a fork parent's: frees of inherited blocks */
            index = memtrack_builtin_cell(MEMTRACK_KIND_INHERITED, size);
    }
    if (index >= MEMTRACK_MAX_COUNTER_INDEX)
        return NULL;
    struct memtrack_counters *chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    return chunk ? chunk + index % MEMTRACK_COUNTERS_PER_CHUNK : memtrack_counters_make(thread, index);
}

static void remember(struct memtrack_memo_entry *entry, uint32_t size_class, uint32_t cell,
                     struct memtrack_counters *counters)
{
    struct memtrack_memo_way *way = &entry->ways[entry->next_way];
    entry->next_way = (uint8_t)((entry->next_way + 1) % MEMTRACK_MEMO_WAYS);
    way->counters = counters;
    way->size_class = size_class;
    way->cell = cell;
}

MEMTRACK_COLD struct memtrack_counters *memtrack_charge_slow(struct memtrack_thread *thread, const uintptr_t *frame,
                                                             uint64_t size, struct memtrack_memo_entry *entry,
                                                             uint32_t *cell)
{
    uint32_t size_class = memtrack_size_class(size);
    uint32_t stack;
    if (memtrack_rt.special)
        stack = memtrack_stack_special(thread, frame);
    else if (entry)
        stack = entry->stack;
    else
        entry = memtrack_stack_miss(thread, frame, &stack);
    *cell = memtrack_cell(stack, size_class);
    struct memtrack_counters *counters = memtrack_counters_for(thread, *cell, size);
    if (MEMTRACK_LIKELY(counters && *cell >= MEMTRACK_FIRST_CELL)) {
        if (entry)
            remember(entry, size_class, *cell, counters);
        return counters;
    }
    MEMTRACK_HEALTH(overflow_cells, 1);
    *cell = memtrack_builtin_cell(MEMTRACK_KIND_OVERFLOW, size);
    return memtrack_counters_for(thread, *cell, size);
}
