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
/* The end of a block that was in the live map, in a hook that is BUSY. */
void memtrack_count_end(struct memtrack_thread *thread, struct memtrack_block found, bool temporary);

/* `frame` is the hook's; `mark` a word in the frame of the function that works on, until it leaves. */
MEMTRACK_INLINE struct memtrack_thread *memtrack_enter(const uintptr_t *frame, uint64_t *mark)
{
    struct memtrack_thread *thread = memtrack_self;
    if (MEMTRACK_UNLIKELY(thread->ready != MEMTRACK_LOAD(&memtrack_rt.page->epoch))) {
        thread = memtrack_enter_slow(frame, mark);
        if (!thread)
            return NULL;
    }
    memtrack_set_busy(thread, mark);
    return thread;
}

MEMTRACK_INLINE void memtrack_leave(struct memtrack_thread *thread)
{
    MEMTRACK_SIGNAL_FENCE();
    thread->ready = thread->epoch;
}

/* hooks.c: all that an allocation does, where the short way (shortway.h) does not fit; returns `block`. */
void *memtrack_allocated_other(void *block, uint64_t size, const uintptr_t *frame);

/* hooks.c: all that a free does. `frame` is the hook's. False: the block is from the bootstrap arena and must not be passed on. */
bool memtrack_freeing(const void *block, const uintptr_t *frame);

#endif
