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
#include "shortway.h"

/* A forked child has no region until its repair is through; a signal handler may get here meanwhile. */
static bool has_region(void)
{
    return !memtrack_rt.stopped && MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.region) != NULL;
}

static void shared_add(uint32_t cell, uint64_t size, bool freed)
{
    if (!has_region())
        return;
    struct memtrack_counters *counters = memtrack_shared_counters(cell);
    if (!counters) {
        if (!freed)
            memtrack_uncounted(size);
        return;
    }
    MEMTRACK_ADD(freed ? &counters->freed_bytes : &counters->allocated_bytes, size);
    __atomic_fetch_add(freed ? &counters->frees : &counters->allocations, UINT64_C(1), __ATOMIC_RELEASE);
    MEMTRACK_ADD(&memtrack_rt.region->live_bytes, freed ? -(int64_t)size : (int64_t)size);
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
    if (cell >= MEMTRACK_FIRST_CELL)
        cell = cell < memtrack_rt.cell_bias + MEMTRACK_FIRST_CELL
                   ? memtrack_builtin_cell(MEMTRACK_KIND_INHERITED, block.size)
                   : cell - memtrack_rt.cell_bias;
    shared_add(cell, block.size, true);
}

MEMTRACK_COLD void memtrack_allocated_shared(uintptr_t address, uint64_t size)
{
    if (!has_region())
        return;
    uint32_t cell = memtrack_builtin_cell(kind_of_call(), size);
    if (memtrack_livemap_put(address, size, cell)) {
        shared_add(cell, size, false);
    } else {
        MEMTRACK_HEALTH(untracked_blocks, 1);
        MEMTRACK_HEALTH(untracked_bytes, size);
    }
}

MEMTRACK_COLD struct memtrack_block memtrack_realloc_take_shared(uintptr_t address)
{
    struct memtrack_block none = {0, 0};
    return memtrack_rt.stopped ? none : memtrack_livemap_take(address);
}

/* NULL gets here where a heap lies in the first 64 MiB, as that of a program that is not position-independent may. */
MEMTRACK_COLD bool memtrack_free_unknown(const void *block)
{
    if (memtrack_is_early(block))
        return false;
    if (!memtrack_rt.stopped && block && (uintptr_t)block != memtrack_python_freeing)
        MEMTRACK_HEALTH(unknown_frees, 1);
    return true;
}

MEMTRACK_COLD bool memtrack_free_shared(uintptr_t address)
{
    struct memtrack_block block = {0, 0};
    if (!memtrack_rt.stopped) {
        kind_of_call();
        block = memtrack_livemap_take(address);
    }
    if (!block.cell)
        return memtrack_free_unknown((const void *)address);
    memtrack_uncounted_free(block);
    return true;
}

/* Records an allocation of a hook that is BUSY, its memo entry known or NULL, and leaves the hook. */
static void finish_allocation(struct memtrack_thread *thread, const void *block, uint64_t size, uint32_t cell,
                              struct memtrack_counters *counters)
{
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

MEMTRACK_LONG void *memtrack_allocated_long(void *block, uint64_t size, const uintptr_t *frame)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (MEMTRACK_UNLIKELY(!thread)) {
        memtrack_allocated_shared((uintptr_t)block, size);
        return block;
    }
    uint32_t cell;
    struct memtrack_counters *counters = MEMTRACK_UNLIKELY(memtrack_python_calling)
                                             ? memtrack_python_charge(thread, frame, size, &cell)
                                             : memtrack_charge(thread, frame, size, &cell);
    finish_allocation(thread, block, size, cell, counters);
    return block;
}

MEMTRACK_LONG void *memtrack_python_allocated(void *block, uint64_t size, const uintptr_t *frame)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (MEMTRACK_UNLIKELY(!thread)) {
        memtrack_allocated_shared((uintptr_t)block, size);
        return block;
    }
    uint32_t cell;
    struct memtrack_counters *counters = memtrack_python_charge(thread, frame, size, &cell);
    finish_allocation(thread, block, size, cell, counters);
    return block;
}

MEMTRACK_LONG void *memtrack_allocated_entered(void *block, uint64_t size, const uintptr_t *frame,
                                               struct memtrack_memo_entry *entry,
                                               const struct memtrack_memo_group *group)
{
    struct memtrack_thread *thread = memtrack_self;
    entry = entry ? memtrack_memo_follow(thread->memo, entry, group, frame)
                  : memtrack_memo_find(thread->memo, frame[1], (uintptr_t)&frame[1]);
    const struct memtrack_memo_way *way = entry ? memtrack_memo_way(entry, memtrack_class_of(size)) : NULL;
    uint32_t cell = way ? way->cell : 0;
    struct memtrack_counters *counters =
        way ? way->counters : memtrack_charge_slow(thread, frame, size, entry, &cell);
    finish_allocation(thread, block, size, cell, counters);
    return block;
}

MEMTRACK_LONG void *memtrack_allocated_flush(void *block)
{
    struct memtrack_thread *thread = memtrack_self;
    memtrack_flush(thread);
    memtrack_leave(thread);
    return block;
}

/* The same for a free; false: the block is from the bootstrap arena and must not be passed on. */
static bool finish_free(struct memtrack_thread *thread, const void *block, struct memtrack_block found)
{
    bool pass_on = true;
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

MEMTRACK_LONG bool memtrack_freeing(const void *block, const uintptr_t *frame)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (MEMTRACK_UNLIKELY(!thread))
        return memtrack_free_shared((uintptr_t)block);
    return finish_free(thread, block, memtrack_livemap_take((uintptr_t)block));
}

MEMTRACK_LONG void memtrack_free_long(void *block, const uintptr_t *frame)
{
    if (!block || memtrack_freeing(block, frame))
        memtrack_next.free(block);
}

/* `found` was taken out of the live map already; without a cell the block's entry, if any, is not a plain one. */
MEMTRACK_LONG void memtrack_free_entered(void *block, struct memtrack_block found)
{
    if (!found.cell)
        found = memtrack_livemap_take((uintptr_t)block);
    if (finish_free(memtrack_self, block, found))
        memtrack_next.free(block);
}
