/* SPDX-License-Identifier: Apache-2.0
 *
 * The short way with sampling: an allocation that is not sampled is counted by its size class and no more, and a free of such
 * a block reads one byte. The exported functions come here before they save any register.
 */
#ifndef MEMTRACK_SAMPLINGWAY_H
#define MEMTRACK_SAMPLINGWAY_H

#include "hooks.h"
#include "next.h"
#include "sampling.h"
#include "shortway.h"

/* hooks.c: an allocation that is counted by its class already and is a sample; one of which nothing is known yet. */
void *memtrack_allocated_sample(void *block, uint64_t size, const uintptr_t *frame);
void *memtrack_allocated_unstepped(void *block, uint64_t size, const uintptr_t *frame);

/* Returns `block`. No hook is BUSY meanwhile: each store is one instruction, so a signal handler may come in between. */
MEMTRACK_INLINE void *memtrack_allocated_sampling(void *block, uint64_t size, const uintptr_t *frame)
{
    struct memtrack_thread *thread = memtrack_self;
    uint32_t size_class = memtrack_class_of(size);
    struct memtrack_counters *chunk = NULL;
    if (MEMTRACK_LIKELY(thread->ready == (MEMTRACK_LOAD(&memtrack_rt.page->epoch) | MEMTRACK_EPOCH_NEVER)) &&
        MEMTRACK_LIKELY(size_class < MEMTRACK_CLASSES))
        chunk = thread->chunks[size_class / MEMTRACK_COUNTERS_PER_CHUNK];
    if (MEMTRACK_UNLIKELY(!chunk)) {
        block = memtrack_allocated_unstepped(block, size, frame);
        MEMTRACK_STAY();
        return block;
    }
    thread->last_block = (uintptr_t)block;
    if (MEMTRACK_UNLIKELY(memtrack_sample_step(thread, &chunk[size_class % MEMTRACK_COUNTERS_PER_CHUNK], size))) {
        block = memtrack_allocated_sample(block, size, frame);
        MEMTRACK_STAY();
    }
    return block;
}

/* interpose.c: free with sampling. */
void memtrack_sampling_free(void *block);

#endif
