/* SPDX-License-Identifier: Apache-2.0
 *
 * The short way: what malloc and free do when nothing is new, written so that no call stands in the middle: then the
 * compiler saves no register for it. Whatever does not fit goes the long way, out of line, and nothing is left to do
 * after that.
 *
 * What a pair costs is in Tests/Bench/instructions.json.
 */
#ifndef MEMTRACK_SHORTWAY_H
#define MEMTRACK_SHORTWAY_H

#include "hooks.h"

/* hooks.c: the long way. Each returns `block`, or does the free. `frame` and `thread` are the hook's: a handler may have forked,
 * and in the child memtrack_self is another one. `entered`: the hook is BUSY, `entry` is that of the present stack or NULL. */
void *memtrack_allocated_entered(void *block, uint64_t size, const uintptr_t *frame, struct memtrack_memo_entry *entry,
                                 struct memtrack_thread *thread);
void *memtrack_allocated_flush(void *block, struct memtrack_thread *thread);
void memtrack_free_other(void *block, const uintptr_t *frame);
void memtrack_free_entered(void *block, struct memtrack_block found, struct memtrack_thread *thread);
/* interpose.c: the same for a realloc. `fresh` may be NULL. */
void *memtrack_reallocated(const void *block, struct memtrack_block found, void *fresh, uint64_t size,
                           const uintptr_t *frame);

/* Not a tail call: the hook's frame must stand as long as somebody looks at it. */
#define MEMTRACK_STAY() __asm__ volatile("")

/* The slot of a block of `size` bytes in the live map; NULL where it is not plain: no chunk there yet, a tiny block of an
 * allocator that may place two in one unit, an address past 2^47. */
MEMTRACK_INLINE uint32_t *memtrack_plain_slot(uintptr_t address, uint64_t size)
{
    uintptr_t chunk_index = address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT;
    if (MEMTRACK_UNLIKELY(chunk_index >= MEMTRACK_LIVEMAP_ROOT_ENTRIES))
        return NULL;
    uint32_t *chunk = MEMTRACK_LOAD(&memtrack_livemap_root[chunk_index]);
    if (MEMTRACK_UNLIKELY(!chunk))
        return NULL;
    if (MEMTRACK_UNLIKELY(memtrack_rt.allocator_unit_shift != 5) && size <= MEMTRACK_TINY_LIMIT)
        return NULL;
    return memtrack_livemap_slot(chunk, address);
}

MEMTRACK_INLINE bool memtrack_is_ready(const struct memtrack_thread *thread)
{
    return thread->ready == MEMTRACK_LOAD(&memtrack_rt.page->epoch);
}

/* Of a hook that is BUSY; leaves it. */
MEMTRACK_INLINE void *memtrack_allocated_busy(struct memtrack_thread *thread, void *block, uint64_t size)
{
    uint32_t cell, size_class;
    struct memtrack_memo *memo;
    uint32_t *slot = memtrack_plain_slot((uintptr_t)block, size);
    if (MEMTRACK_UNLIKELY(!slot)) {
        block = memtrack_allocated_entered(block, size, MEMTRACK_FRAME(), NULL, thread);
        MEMTRACK_STAY();
        return block;
    }
    __builtin_prefetch(slot, 1);
    const uintptr_t *slot_of_return = MEMTRACK_FRAME() + 1;
    struct memtrack_memo_entry *entry = memtrack_memo_find_first(
        thread->memo, *slot_of_return, (uintptr_t)slot_of_return, (const uint64_t *)thread->stack_top);
    struct memtrack_counters *counters;
    if (MEMTRACK_UNLIKELY(!entry) ||
        (memo = MEMTRACK_LOAD(&thread->memo), size_class = memtrack_class_of(size),
         MEMTRACK_UNLIKELY(!memtrack_memo_way(memo, entry, size_class, &counters, &cell)) &&
         MEMTRACK_UNLIKELY(!memtrack_memo_way_again(memo, entry, size_class, &counters, &cell)))) {
        block = memtrack_allocated_entered(block, size, MEMTRACK_FRAME(), entry, thread);
        MEMTRACK_STAY();
        return block;
    }
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memo->region->peak_epoch));
    MEMTRACK_BUMP(&counters->allocated_bytes, size);
    MEMTRACK_BUMP(&counters->allocations, 1);
    uint32_t half = memtrack_livemap_half((uintptr_t)block);
    if (size < MEMTRACK_SMALL_LIMIT) {
        MEMTRACK_STORE(slot, memtrack_livemap_small(size, cell, half));
    } else {
        uint64_t word = memtrack_livemap_large(size, cell, half);
        __builtin_memcpy(slot, &word, 8);
    }
    thread->last_block = (uintptr_t)block;
    thread->delta += (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta >= (int64_t)MEMTRACK_FLUSH_BYTES)) {
        block = memtrack_allocated_flush(block, thread);
        MEMTRACK_STAY();
        return block;
    }
    memtrack_leave(thread);
    return block;
}

MEMTRACK_INLINE void *memtrack_allocated_short(void *block, uint64_t size)
{
    struct memtrack_thread *thread = memtrack_self;
    uint64_t mark;
    if (MEMTRACK_UNLIKELY(!memtrack_is_ready(thread))) {
        block = memtrack_allocated_other(block, size, MEMTRACK_FRAME());
        MEMTRACK_STAY();
        return block;
    }
    memtrack_set_busy(thread, &mark);
    return memtrack_allocated_busy(thread, block, size);
}

/* Counts the end of a block that was taken out. False: its counters, or the process's totals, need the long way. */
MEMTRACK_INLINE bool memtrack_count_plain_free(struct memtrack_thread *thread, struct memtrack_block found, bool temporary)
{
    uint32_t index = found.cell - thread->cell_bias; /* out of range where there is no cell */
    struct memtrack_counters *chunk = NULL;
    if (MEMTRACK_LIKELY(index - MEMTRACK_FIRST_CELL < MEMTRACK_MAX_COUNTER_INDEX - MEMTRACK_FIRST_CELL))
        chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    if (MEMTRACK_UNLIKELY(!chunk || thread->delta > thread->headroom ||
                          thread->delta - (int64_t)found.size <= -(int64_t)MEMTRACK_FLUSH_BYTES))
        return false;
    struct memtrack_counters *counters = chunk + index % MEMTRACK_COUNTERS_PER_CHUNK;
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_BUMP(&counters->freed_bytes, found.size);
    MEMTRACK_BUMP(&counters->frees, 1);
    if (temporary)
        MEMTRACK_BUMP(&counters->temporary, 1);
    thread->delta -= (int64_t)found.size;
    return true;
}

/* True: all is done but the free itself. */
MEMTRACK_INLINE bool memtrack_freeing_short(void *block)
{
    struct memtrack_thread *thread = memtrack_self;
    uint64_t mark;
    uint32_t *slot;
    if (MEMTRACK_UNLIKELY(!memtrack_is_ready(thread) ||
                          !(slot = memtrack_plain_slot((uintptr_t)block, UINT64_MAX)))) {
        memtrack_free_other(block, MEMTRACK_FRAME());
        MEMTRACK_STAY();
        return false;
    }
    memtrack_set_busy(thread, &mark);
    struct memtrack_block found = memtrack_livemap_take_plain(slot, (uintptr_t)block);
    if (MEMTRACK_UNLIKELY(!memtrack_count_plain_free(thread, found, thread->last_block == (uintptr_t)block))) {
        memtrack_free_entered(block, found, thread);
        MEMTRACK_STAY();
        return false;
    }
    memtrack_leave(thread);
    return true;
}

/* A realloc of a plain block, before the call: takes the block out. Cell 0: the long way, all of it. */
MEMTRACK_INLINE struct memtrack_block memtrack_reallocating_short(void *block)
{
    struct memtrack_block none = {0, 0};
    uint32_t *slot;
    if (MEMTRACK_UNLIKELY(!memtrack_is_ready(memtrack_self) ||
                          !(slot = memtrack_plain_slot((uintptr_t)block, UINT64_MAX))))
        return none;
    return memtrack_livemap_take_plain(slot, (uintptr_t)block);
}

/* After it: `block` is no more, and `fresh` is there. Returns it. */
MEMTRACK_INLINE void *memtrack_reallocated_short(const void *block, struct memtrack_block found, void *fresh,
                                                 uint64_t size)
{
    struct memtrack_thread *thread = memtrack_self;
    uint64_t mark;
    if (MEMTRACK_LIKELY(memtrack_is_ready(thread))) {
        memtrack_set_busy(thread, &mark);
        if (MEMTRACK_LIKELY(memtrack_count_plain_free(thread, found, false)))
            return memtrack_allocated_busy(thread, fresh, size);
        memtrack_leave(thread);
    }
    fresh = memtrack_reallocated(block, found, fresh, size, MEMTRACK_FRAME());
    MEMTRACK_STAY();
    return fresh;
}

#endif
