/* SPDX-License-Identifier: Apache-2.0
 *
 * What every hook does around the call to the next allocator.
 *
 * ORDER. An allocation is recorded after the call, a free before it: once the allocator has a block back,
 * another thread may own the address. A realloc takes the entry out before the call and puts it back if it failed.
 * Between enter and leave nothing calls out of the shim. A signal handler that allocates meanwhile finds the
 * thread BUSY and is counted in bank 0, with atomic additions, as "re-entrant".
 */
#ifndef MEMTRACK_HOOKS_H
#define MEMTRACK_HOOKS_H

#include "counters.h"

/* hooks.c: the same without a bank (re-entrant, or none to be had) */
void memtrack_allocated_shared(uintptr_t address, uint64_t size);
bool memtrack_free_shared(uintptr_t address);   /* as memtrack_freeing */
bool memtrack_free_unknown(const void *block);  /* of a block that is not in the live map; as memtrack_freeing */
struct memtrack_block memtrack_realloc_take_shared(uintptr_t address);
void memtrack_uncounted(uint64_t size);
void memtrack_uncounted_free(struct memtrack_block block);

MEMTRACK_INLINE struct memtrack_thread *memtrack_enter(const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_self;
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch))) {
        thread = memtrack_enter_slow(frame);
        if (!thread)
            return NULL;
    }
    thread->guard = (uintptr_t)frame; /* before BUSY: a handler that finds it asks where the hook's frame is */
    thread->guard_return = frame[1];
    MEMTRACK_SIGNAL_FENCE();
    thread->ready = MEMTRACK_READY_BUSY;
    MEMTRACK_SIGNAL_FENCE();
    thread->guard = (uintptr_t)frame; /* again: a handler that came in between has left its own there */
    thread->guard_return = frame[1];
    MEMTRACK_SIGNAL_FENCE();
    return thread;
}

MEMTRACK_INLINE void memtrack_leave(struct memtrack_thread *thread)
{
    MEMTRACK_SIGNAL_FENCE();
    thread->ready = thread->epoch;
}

MEMTRACK_INLINE void memtrack_allocated(const void *block, uint64_t size, const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_enter(frame);
    if (MEMTRACK_UNLIKELY(!thread)) {
        memtrack_allocated_shared((uintptr_t)block, size);
        return;
    }
    memtrack_livemap_prefetch((uintptr_t)block);
    uint32_t cell;
    struct memtrack_counters *counters = memtrack_charge(thread, frame, size, &cell);
    if (MEMTRACK_UNLIKELY(!counters)) {
        memtrack_uncounted(size);
    } else {
        memtrack_count_allocation(thread, counters, size);
        if (MEMTRACK_UNLIKELY(!memtrack_livemap_put((uintptr_t)block, size, cell))) {
            memtrack_count_free(thread, counters, size, false);
            MEMTRACK_HEALTH(untracked_blocks, 1);
            MEMTRACK_HEALTH(untracked_bytes, size);
        }
        thread->last_block = (uintptr_t)block;
    }
    memtrack_leave(thread);
}

/* False: the block is from the bootstrap arena and must not be passed on. */
MEMTRACK_INLINE bool memtrack_freeing(const void *block, const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_enter(frame);
    if (MEMTRACK_UNLIKELY(!thread))
        return memtrack_free_shared((uintptr_t)block);
    bool pass_on = true;
    struct memtrack_block found = memtrack_livemap_take((uintptr_t)block);
    if (MEMTRACK_UNLIKELY(!found.cell)) {
        pass_on = memtrack_free_unknown(block);
    } else {
        struct memtrack_counters *counters = memtrack_counters_for(thread, found.cell, found.size);
        if (MEMTRACK_LIKELY(counters != NULL))
            memtrack_count_free(thread, counters, found.size, thread->last_block == (uintptr_t)block);
        else
            memtrack_uncounted_free(found);
    }
    memtrack_leave(thread);
    return pass_on;
}

#endif
