/* SPDX-License-Identifier: Apache-2.0
 *
 * The long ways of malloc and free, and counting without a bank.
 *
 * Counting without a bank: calls by a signal handler that interrupted a hook of its own thread, and by threads
 * for which no bank could be had. They go into bank 0 with atomic additions, under a built-in cell: the size class
 * is exact, the stack is not taken.
 */
#include "hooks.h"
#include "next.h"
#include "python.h"
#include "sampling.h"
#include "samplingway.h"
#include "shortway.h"

/* A forked child has no region until its repair is through; a signal handler may get here meanwhile, and a hook that was
 * interrupted by the fork. */
static bool has_region(void)
{
    return !memtrack_rt.stopped && MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.region) != NULL && !memtrack_is_forked_child();
}

static void shared_allocation(uint32_t cell, uint64_t size)
{
    struct memtrack_counters *counters = memtrack_shared_counters(cell);
    if (!counters) {
        memtrack_uncounted(size);
        return;
    }
    bool is_weighed = memtrack_rt.sample_bytes && cell >= MEMTRACK_CLASSES; /* those below are of size classes: exact */
    memtrack_count_shared_allocation(counters, is_weighed ? 1u << MEMTRACK_WEIGHT_SHIFT : 1u, size);
}

static void shared_free(uint32_t cell, struct memtrack_weight weight, bool is_inherited)
{
    struct memtrack_counters *counters = has_region() ? memtrack_shared_counters(cell) : NULL;
    if (!counters)
        return;
    memtrack_count_shared_free(counters, weight.blocks, weight.bytes, false);
    if (!is_inherited)
        MEMTRACK_ADD(&memtrack_rt.region->live_bytes, -(int64_t)weight.bytes);
}

static enum memtrack_cell_kind kind_of_call(void)
{
    if (memtrack_enter_is_reentrant()) {
        MEMTRACK_HEALTH(reentrant, 1);
        return MEMTRACK_KIND_REENTRANT;
    }
    MEMTRACK_HEALTH(shared_bank_calls, 1);
    return MEMTRACK_KIND_NO_STACK;
}

MEMTRACK_COLD void memtrack_uncounted(uint64_t size)
{
    MEMTRACK_HEALTH(uncounted_allocations, 1);
    MEMTRACK_HEALTH(uncounted_bytes, size);
}

/* A free whose counters cannot be made in this thread's bank: bank 0 may still have them. */
MEMTRACK_COLD void memtrack_uncounted_free(struct memtrack_block block)
{
    uint32_t cell = block.cell;
    bool is_inherited = memtrack_is_inherited(cell);
    if (cell >= MEMTRACK_FIRST_CELL)
        cell = is_inherited ? memtrack_builtin_cell(MEMTRACK_KIND_INHERITED, block.size) : cell - memtrack_rt.cell_bias;
    shared_free(cell, memtrack_weight(block.size), is_inherited);
}

MEMTRACK_COLD void memtrack_allocated_shared(uintptr_t address, uint64_t size)
{
    if (!has_region()) {
        if (!memtrack_rt.stopped && memtrack_is_forked_child()) {
            MEMTRACK_ADD(&memtrack_rt.early_allocations, 1);
            MEMTRACK_ADD(&memtrack_rt.early_bytes, size);
        }
        return;
    }
    enum memtrack_cell_kind kind = kind_of_call();
    if (memtrack_rt.sample_bytes) { /* counted by class, as all are, and not sampled */
        shared_allocation(memtrack_size_class(size), size);
        return;
    }
    uint32_t cell = memtrack_builtin_cell(kind, size);
    if (!memtrack_shared_counters(cell))
        cell = memtrack_builtin_cell(MEMTRACK_KIND_OVERFLOW, size);
    if (memtrack_livemap_put(address, size, cell)) {
        shared_allocation(cell, size);
        MEMTRACK_ADD(&memtrack_rt.region->live_bytes, (int64_t)size);
    } else {
        MEMTRACK_HEALTH(untracked_blocks, 1);
        MEMTRACK_HEALTH(untracked_bytes, size);
    }
}

MEMTRACK_COLD struct memtrack_block memtrack_realloc_take_shared(uintptr_t address)
{
    struct memtrack_block none = {0, 0};
    return memtrack_rt.stopped ? none : memtrack_unfollow(address);
}

/* NULL gets here where a heap lies in the first 64 MiB, as that of a program that is not position-independent may. */
MEMTRACK_COLD bool memtrack_free_unknown(const void *block)
{
    if (memtrack_is_early(block))
        return false;
    /* With sampling most blocks are not known, and the filter says of some that they may be. */
    if (!memtrack_rt.sample_bytes && block && (uintptr_t)block != memtrack_python_freeing && has_region())
        MEMTRACK_HEALTH(unknown_frees, 1);
    return true;
}

MEMTRACK_COLD bool memtrack_free_shared(uintptr_t address)
{
    struct memtrack_block block = {0, 0};
    if (!memtrack_rt.stopped) {
        if (has_region())
            kind_of_call();
        block = memtrack_unfollow(address);
    }
    if (!block.cell)
        return memtrack_free_unknown((const void *)address);
    memtrack_uncounted_free(block);
    return true;
}

/* Records an allocation of a hook that is BUSY, and leaves the hook. */
static void finish_allocation(struct memtrack_thread *thread, const void *block, uint64_t size, uint32_t cell,
                              struct memtrack_counters *counters)
{
    if (MEMTRACK_UNLIKELY(!counters)) {
        memtrack_uncounted(size);
    } else {
        bool sampled = memtrack_rt.sample_bytes != 0;
        struct memtrack_weight weight = memtrack_weight(size);
        memtrack_count_allocation(thread, counters, weight.blocks, weight.bytes);
        if (MEMTRACK_UNLIKELY(!(sampled ? memtrack_follow((uintptr_t)block, size, cell)
                                        : memtrack_livemap_put((uintptr_t)block, size, cell)))) {
            memtrack_count_free(thread, counters, weight.blocks, weight.bytes, false);
            MEMTRACK_HEALTH(untracked_blocks, 1);
            MEMTRACK_HEALTH(untracked_bytes, size);
        }
        thread->last_block = (uintptr_t)block;
    }
    memtrack_leave(thread);
}

/* With sampling: is this block, allocated by a hook that is BUSY, to be recorded? `stepped`: it is in its class's count,
 * and it is. */
static bool is_sampled(struct memtrack_thread *thread, uint64_t size, bool stepped)
{
    if (!stepped) {
        struct memtrack_counters *of_class = memtrack_counters_for(thread, memtrack_size_class(size), size);
        if (!of_class)
            memtrack_uncounted(size);
        if (!of_class || !memtrack_sample_step(thread, of_class, size))
            return false;
    }
    memtrack_sample_next(thread);
    return true;
}

static MEMTRACK_LONG void *allocated(void *block, uint64_t size, const uintptr_t *frame, bool stepped)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (MEMTRACK_UNLIKELY(!thread)) {
        memtrack_allocated_shared((uintptr_t)block, size);
        return block;
    }
    if (MEMTRACK_UNLIKELY(memtrack_rt.sample_bytes) && !is_sampled(thread, size, stepped)) {
        thread->last_block = (uintptr_t)block;
        memtrack_leave(thread);
        return block;
    }
    uint32_t cell;
    struct memtrack_counters *counters = MEMTRACK_UNLIKELY(memtrack_python_calling)
                                             ? memtrack_python_charge(thread, frame, size, &cell)
                                             : memtrack_charge(thread, frame, size, &cell);
    finish_allocation(thread, block, size, cell, counters);
    return block;
}

/* A thread that is not ready, or a call that has no short way. */
__attribute__((noinline)) void *memtrack_allocated_other(void *block, uint64_t size, const uintptr_t *frame)
{
    return MEMTRACK_UNLIKELY(memtrack_rt.is_sampling) ? memtrack_allocated_sampling(block, size, frame)
                                                      : allocated(block, size, frame, false);
}

__attribute__((noinline)) void *memtrack_allocated_unstepped(void *block, uint64_t size, const uintptr_t *frame)
{
    return allocated(block, size, frame, false);
}

MEMTRACK_LONG void *memtrack_allocated_sample(void *block, uint64_t size, const uintptr_t *frame)
{
    return allocated(block, size, frame, true);
}

MEMTRACK_LONG void *memtrack_allocated_entered(void *block, uint64_t size, const uintptr_t *frame,
                                               struct memtrack_memo_entry *entry, struct memtrack_thread *thread)
{
    if (!entry)
        entry = memtrack_memo_find(thread->memo, frame[1], (uintptr_t)&frame[1], (const uint64_t *)thread->stack_top);
    uint32_t cell = 0;
    struct memtrack_counters *counters;
    uint32_t size_class = memtrack_class_of(size);
    if (!entry || (!memtrack_memo_way(thread->memo, entry, size_class, &counters, &cell) &&
                   !memtrack_memo_way_again(thread->memo, entry, size_class, &counters, &cell)))
        counters = memtrack_charge_slow(thread, frame, size, entry, &cell);
    finish_allocation(thread, block, size, cell, counters);
    return block;
}

MEMTRACK_LONG void *memtrack_allocated_flush(void *block, struct memtrack_thread *thread)
{
    memtrack_flush(thread);
    memtrack_leave(thread);
    return block;
}

void memtrack_count_end(struct memtrack_thread *thread, struct memtrack_block found, bool temporary)
{
    struct memtrack_weight weight = memtrack_weight(found.size);
    struct memtrack_counters *counters = memtrack_counters_for(thread, found.cell, found.size);
    if (MEMTRACK_UNLIKELY(!counters)) {
        memtrack_uncounted_free(found);
        return;
    }
    memtrack_count_free(thread, counters, weight.blocks, weight.bytes, temporary);
    if (memtrack_is_inherited(found.cell))
        thread->delta += (int64_t)weight.bytes;
}

/* The same for a free; false: the block is from the bootstrap arena and must not be passed on. */
static bool finish_free(struct memtrack_thread *thread, const void *block, struct memtrack_block found)
{
    bool pass_on = true;
    if (MEMTRACK_UNLIKELY(!found.cell))
        pass_on = memtrack_free_unknown(block);
    else
        memtrack_count_end(thread, found, thread->last_block == (uintptr_t)block);
    memtrack_leave(thread);
    return pass_on;
}

bool memtrack_freeing(const void *block, const uintptr_t *frame)
{
    if (!memtrack_is_followed((uintptr_t)block))
        return !memtrack_is_early(block);
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (MEMTRACK_UNLIKELY(!thread))
        return memtrack_free_shared((uintptr_t)block);
    return finish_free(thread, block, memtrack_unfollow((uintptr_t)block));
}

__attribute__((noinline)) void memtrack_free_other(void *block, const uintptr_t *frame)
{
    if (!block || memtrack_freeing(block, frame))
        memtrack_next.free(block);
}

/* `found` was taken out of the live map already; without a cell the block's entry, if any, is not a plain one. */
MEMTRACK_LONG void memtrack_free_entered(void *block, struct memtrack_block found, struct memtrack_thread *thread)
{
    if (!found.cell)
        found = memtrack_livemap_take((uintptr_t)block);
    if (finish_free(thread, block, found))
        memtrack_next.free(block);
}
