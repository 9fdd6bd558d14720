/* SPDX-License-Identifier: Apache-2.0
 *
 * The short way: what malloc and free do when nothing is new. The same as memtrack_allocated_long and
 * memtrack_freeing (hooks.h), written so that no call stands in the middle: then the compiler saves no register for it. Whatever does
 * not fit goes the long way, out of line, and nothing is left to do after that.
 *
 * What a pair costs is in Tests/Bench/instructions.json.
 */
#ifndef MEMTRACK_SHORTWAY_H
#define MEMTRACK_SHORTWAY_H

#include "hooks.h"

/* hooks.c: the long way. Each returns `block`, or does the free. The frame is the hook's. `entered`: the hook is BUSY;
 * the present stack is that of `entry` before `group`, where there is an entry. */
void *memtrack_allocated_entered(void *block, uint64_t size, const uintptr_t *frame, struct memtrack_memo_entry *entry,
                                 const struct memtrack_memo_group *group);
void *memtrack_allocated_other(void *block, uint64_t size, const uintptr_t *frame);
void *memtrack_allocated_flush(void *block);
void memtrack_free_other(void *block, const uintptr_t *frame);
void memtrack_free_entered(void *block, struct memtrack_block found);

/* Not a tail call: the hook's frame must stand as long as somebody looks at it. */
#define MEMTRACK_STAY() __asm__ volatile("")

/* The slot of a block of `size` bytes in the live map; NULL where it is not plain: no chunk there yet, a tiny block of an
 * allocator that may place two in one unit, an address past 2^47. */
MEMTRACK_INLINE uint32_t *memtrack_plain_slot(uintptr_t address, uint64_t size, uint32_t *half)
{
    uintptr_t chunk_index = address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT;
    if (MEMTRACK_UNLIKELY(chunk_index >= MEMTRACK_LIVEMAP_ROOT_ENTRIES))
        return NULL;
    uint32_t *chunk = MEMTRACK_LOAD(&memtrack_livemap_root[chunk_index]);
    if (MEMTRACK_UNLIKELY(!chunk))
        return NULL;
    uint32_t shift = memtrack_rt.allocator_unit_shift;
    if (MEMTRACK_UNLIKELY(shift == 4) && size <= MEMTRACK_TINY_LIMIT)
        return NULL;
    struct memtrack_place place = memtrack_livemap_place(address, shift);
    *half = place.half;
    return chunk + place.slot;
}

MEMTRACK_INLINE void *memtrack_allocated_short(void *block, uint64_t size, const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_self;
    uint64_t mark;
    uint32_t half = 0;
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch))) {
        block = memtrack_allocated_other(block, size, frame);
        MEMTRACK_STAY();
        return block;
    }
    memtrack_set_busy(thread, &mark);
    uint32_t *slot = memtrack_plain_slot((uintptr_t)block, size, &half);
    __builtin_prefetch(slot, 1);
    struct memtrack_memo_entry *entry = memtrack_memo_first(thread->memo, frame[1], (uintptr_t)&frame[1]);
    if (MEMTRACK_UNLIKELY(!slot) || MEMTRACK_UNLIKELY(!entry) || MEMTRACK_UNLIKELY(entry->key1 != frame[1]) ||
        MEMTRACK_UNLIKELY(entry->key2 != (uintptr_t)&frame[1])) {
        block = memtrack_allocated_entered(block, size, frame, NULL, NULL);
        MEMTRACK_STAY();
        return block;
    }
    const struct memtrack_memo_group *end = entry->group + entry->groups;
    const struct memtrack_memo_group *group = memtrack_memo_compare(entry->group, end, frame);
    const struct memtrack_memo_way *way = memtrack_memo_way(entry, memtrack_class_of(size));
    if (MEMTRACK_UNLIKELY(group != end || !way)) {
        block = memtrack_allocated_entered(block, size, frame, entry, group);
        MEMTRACK_STAY();
        return block;
    }
    struct memtrack_counters *counters = way->counters;
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_BUMP(&counters->allocated_bytes, size);
    MEMTRACK_BUMP(&counters->allocations, 1);
    if (size < MEMTRACK_SMALL_LIMIT) {
        MEMTRACK_STORE(slot, memtrack_livemap_small(size, way->cell, half));
    } else {
        uint64_t word = memtrack_livemap_large(size, way->cell, half);
        __builtin_memcpy(slot, &word, 8);
    }
    thread->last_block = (uintptr_t)block;
    thread->delta += (int64_t)size;
    if (MEMTRACK_UNLIKELY(thread->delta >= (int64_t)MEMTRACK_FLUSH_BYTES)) {
        block = memtrack_allocated_flush(block);
        MEMTRACK_STAY();
        return block;
    }
    memtrack_leave(thread);
    return block;
}

/* True: all is done but the free itself. */
MEMTRACK_INLINE bool memtrack_freeing_short(void *block, const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_self;
    uint64_t mark;
    uint32_t half, *slot;
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch) ||
                          !(slot = memtrack_plain_slot((uintptr_t)block, UINT64_MAX, &half)))) {
        memtrack_free_other(block, frame);
        MEMTRACK_STAY();
        return false;
    }
    struct memtrack_block found;
    uint32_t low = MEMTRACK_LOAD(slot);
    memtrack_set_busy(thread, &mark);
    if (!(low & 1)) {
        found.cell = low >> 8;
        found.size = (low >> 2) & 63;
        if (MEMTRACK_LIKELY(((low >> 1) & 1) == half))
            MEMTRACK_STORE(slot, 0u);
        else
            found.cell = 0;
    } else {
        uint64_t word, nothing = 0;
        __builtin_memcpy(&word, slot, 8);
        found.cell = (uint32_t)(word >> 2) & MEMTRACK_CELL_LIMIT;
        found.size = word >> 26;
        if (MEMTRACK_LIKELY(((low >> 1) & 1) == half && found.size != MEMTRACK_LARGE_SIZE))
            __builtin_memcpy(slot, &nothing, 8);
        else
            found.cell = 0;
    }
    uint32_t index = found.cell - thread->cell_bias; /* out of range where there is no cell */
    struct memtrack_counters *chunk = NULL;
    if (MEMTRACK_LIKELY(index - MEMTRACK_FIRST_CELL < MEMTRACK_MAX_COUNTER_INDEX - MEMTRACK_FIRST_CELL))
        chunk = thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK];
    if (MEMTRACK_UNLIKELY(!chunk || thread->delta > thread->headroom ||
                          thread->delta - (int64_t)found.size <= -(int64_t)MEMTRACK_FLUSH_BYTES)) {
        memtrack_free_entered(block, found);
        MEMTRACK_STAY();
        return false;
    }
    struct memtrack_counters *counters = chunk + index % MEMTRACK_COUNTERS_PER_CHUNK;
    memtrack_counters_peak(counters, MEMTRACK_LOAD(&memtrack_rt.region->peak_epoch));
    MEMTRACK_BUMP(&counters->freed_bytes, found.size);
    MEMTRACK_BUMP(&counters->frees, 1);
    if (thread->last_block == (uintptr_t)block)
        MEMTRACK_BUMP(&counters->temporary, 1);
    thread->delta -= (int64_t)found.size;
    memtrack_leave(thread);
    return true;
}

#endif
