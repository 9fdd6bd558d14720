/* SPDX-License-Identifier: Apache-2.0
 *
 * The malloc family, as the target sees it. Each function forwards to the next definition with the arguments
 * unchanged (requests are never rounded, blocks never padded) and records what came back. What is recorded, and in
 * which order, is in hooks.h.
 *
 * errno is what the next allocator left in it: the recording makes raw system calls alone.
 */
#define _GNU_SOURCE
#include "hooks.h"
#include "next.h"
#include "record.h"
#include "sampling.h"
#include "samplingway.h"
#include "shortway.h"

#include <errno.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))

static void *exact_malloc(size_t size)
{
    void *block = memtrack_next.malloc(size);
    if (MEMTRACK_UNLIKELY(!block))
        return NULL;
    return memtrack_allocated_short(block, size);
}

static void *exact_calloc(size_t count, size_t size)
{
    void *block = memtrack_next.calloc(count, size);
    if (MEMTRACK_UNLIKELY(!block))
        return NULL;
    return memtrack_allocated_short(block, (uint64_t)count * size);
}

static void exact_free(void *block)
{
    if (MEMTRACK_LIKELY(memtrack_freeing_short(block)))
        memtrack_next.free(block);
}

static void *sampling_malloc(size_t size)
{
    void *block = memtrack_next.malloc(size);
    return MEMTRACK_LIKELY(block) ? memtrack_allocated_sampling(block, size, MEMTRACK_FRAME()) : NULL;
}

static void *sampling_calloc(size_t count, size_t size)
{
    void *block = memtrack_next.calloc(count, size);
    return MEMTRACK_LIKELY(block) ? memtrack_allocated_sampling(block, (uint64_t)count * size, MEMTRACK_FRAME()) : NULL;
}

void memtrack_sampling_free(void *block)
{
    if (MEMTRACK_LIKELY(!MEMTRACK_LOAD(memtrack_filter_place((uintptr_t)block))) && MEMTRACK_LIKELY(!memtrack_is_early(block)))
        memtrack_next.free(block);
    else
        memtrack_free_other(block, MEMTRACK_FRAME());
}

/* Where the three that matter jump to: one instruction, and no register is saved yet that sampling does not need. */
static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void (*free)(void *);
} way = {exact_malloc, exact_calloc, exact_free};

void memtrack_sample_ways(void)
{
    way.malloc = sampling_malloc;
    way.calloc = sampling_calloc;
    way.free = memtrack_sampling_free;
    memtrack_sample_new();
}

MEMTRACK_EXPORT void *malloc(size_t size)
{
    return way.malloc(size);
}

MEMTRACK_EXPORT void *calloc(size_t count, size_t size)
{
    return way.calloc(count, size);
}

MEMTRACK_EXPORT void free(void *block)
{
    way.free(block);
}

/* The rest shares these, out of line. */
static __attribute__((noinline)) void *record(void *block, uint64_t size, const uintptr_t *frame)
{
    if (block && !memtrack_is_early(block))
        memtrack_allocated_other(block, size, frame);
    return block;
}

static struct memtrack_block take_for_realloc(void *block, const uintptr_t *frame)
{
    if (!memtrack_is_followed((uintptr_t)block))
        return (struct memtrack_block){0, 0};
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (!thread)
        return memtrack_realloc_take_shared((uintptr_t)block);
    struct memtrack_block found = memtrack_unfollow((uintptr_t)block);
    memtrack_leave(thread);
    return found;
}

static void put_back(uintptr_t block, struct memtrack_block found, const uintptr_t *frame)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    memtrack_follow(block, found.size, found.cell); /* its table exists: it cannot fail */
    if (thread)
        memtrack_leave(thread);
}

static void count_realloc_free(struct memtrack_block found, const uintptr_t *frame)
{
    uint64_t mark;
    struct memtrack_thread *thread = memtrack_enter(frame, &mark);
    if (!thread) {
        memtrack_uncounted_free(found);
        return;
    }
    memtrack_count_end(thread, found, false);
    memtrack_leave(thread);
}

static __attribute__((noinline)) void *reallocate(void *block, size_t size, const uintptr_t *frame)
{
    if (!block)
        return record(memtrack_next.realloc(NULL, size), size, frame);
    if (MEMTRACK_UNLIKELY(memtrack_is_early(block))) {
        void *fresh = record(memtrack_next.malloc(size), size, frame);
        size_t old = memtrack_early_size(block);
        if (fresh)
            __builtin_memcpy(fresh, block, old < size ? old : size);
        return fresh;
    }
    struct memtrack_block found = take_for_realloc(block, frame);
    void *fresh = memtrack_next.realloc(block, size);
    if (found.cell)
        return memtrack_reallocated(block, found, fresh, size, frame);
    if (fresh)
        memtrack_allocated_other(fresh, size, frame);
    return fresh;
}

void *memtrack_reallocated(const void *block, struct memtrack_block found, void *fresh, uint64_t size,
                           const uintptr_t *frame)
{
    if (fresh || size == 0) /* NULL for size 0 is a free */
        count_realloc_free(found, frame);
    else
        put_back((uintptr_t)block, found, frame);
    return fresh ? memtrack_allocated_other(fresh, size, frame) : NULL;
}

MEMTRACK_EXPORT void *realloc(void *block, size_t size)
{
    const uintptr_t *frame = MEMTRACK_FRAME();
    struct memtrack_block found = memtrack_reallocating_short(block);
    if (MEMTRACK_UNLIKELY(!found.cell))
        return reallocate(block, size, frame);
    void *fresh = memtrack_next.realloc(block, size);
    if (MEMTRACK_UNLIKELY(!fresh))
        return memtrack_reallocated(block, found, fresh, size, frame);
    return memtrack_reallocated_short(block, found, fresh, size);
}

/* Are we the first malloc in the program's scope? Not so where the program brings its own, or another library was
 * preloaded before us. Its blocks are not ours to give to the next allocator: the functions below, which it may lack,
 * must then do as glibc's do, and call the first. */
extern __typeof__(malloc) memtrack_own_malloc __attribute__((visibility("hidden"), alias("malloc")));
static bool is_first = true;

bool memtrack_is_first(void)
{
    return is_first;
}

/* A program at a fixed address that takes malloc's address has it in its own file: a jump to the first definition. */
void memtrack_resolve_first(void)
{
    is_first = malloc == memtrack_own_malloc || memtrack_is_first_definition("malloc");
}

/* glibc's would call our realloc, and the call site would be inside libc. */
MEMTRACK_EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (MEMTRACK_UNLIKELY(!memtrack_is_first()))
        return realloc(block, bytes);
    return reallocate(block, bytes, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT void *memalign(size_t alignment, size_t size)
{
    return record(memtrack_next.memalign(alignment, size), size, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    int error = memtrack_next.posix_memalign(block, alignment, size);
    if (!error)
        record(*block, size, MEMTRACK_FRAME());
    return error;
}

MEMTRACK_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return record(memtrack_next.aligned_alloc(alignment, size), size, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT void *valloc(size_t size)
{
    return record(memtrack_next.valloc(size), size, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT void *pvalloc(size_t size)
{
    return record(memtrack_next.pvalloc(size), size, MEMTRACK_FRAME());
}

static __attribute__((noinline)) void release(void *block, const uintptr_t *frame)
{
    if (!block || memtrack_freeing(block, frame))
        memtrack_next.free(block);
}

MEMTRACK_EXPORT void cfree(void *block)
{
    release(block, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    if (MEMTRACK_UNLIKELY(!memtrack_is_first()))
        free(block);
    else
        release(block, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    if (MEMTRACK_UNLIKELY(!memtrack_is_first()))
        free(block);
    else
        release(block, MEMTRACK_FRAME());
}

MEMTRACK_EXPORT size_t malloc_usable_size(void *block)
{
    if (MEMTRACK_UNLIKELY(memtrack_is_early(block)))
        return memtrack_early_size(block);
    return memtrack_next.malloc_usable_size(block);
}

/* For jemalloc's rallocx and xallocx (jemalloc.c) and for CPython's allocator (python_objects.c): before the call, and
 * after it; `fresh` NULL: it failed. */
struct memtrack_block memtrack_realloc_begin(void *block, const uintptr_t *frame)
{
    return take_for_realloc(block, frame);
}

void memtrack_realloc_freed(struct memtrack_block found, const uintptr_t *frame)
{
    if (found.cell)
        count_realloc_free(found, frame);
}

void memtrack_realloc_end(void *block, struct memtrack_block found, void *fresh, uint64_t size, const uintptr_t *frame)
{
    if (found.cell && fresh)
        count_realloc_free(found, frame);
    else if (found.cell)
        put_back((uintptr_t)block, found, frame);
    if (fresh)
        memtrack_allocated_other(fresh, size, frame);
}

/* For operator new and delete (new.c), which share the recording. */
void *memtrack_record(void *block, uint64_t size, const uintptr_t *frame)
{
    return record(block, size, frame);
}

void memtrack_record_free(void *block, const uintptr_t *frame)
{
    if (block)
        memtrack_freeing(block, frame);
}

void memtrack_release(void *block, const uintptr_t *frame)
{
    release(block, frame);
}
