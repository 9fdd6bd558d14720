/* SPDX-License-Identifier: Apache-2.0
 *
 * jemalloc's own interface (jemalloc(3), "Non-standard API"): blocks from it may be freed by free, and the other way
 * round, so both must be seen. nallocx, sallocx and mallctl give out nothing and are left alone.
 *
 * Where no jemalloc stands behind us a program that looks for these functions finds ours, although it would have found
 * none; then they do what jemalloc's would, with malloc's family. (Programs that ask whether jemalloc is there look for
 * mallctl as well, and that one we do not have.)
 */
#define _GNU_SOURCE
#include "hooks.h"
#include "next.h"
#include "record.h"

#include <dlfcn.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_FLAG_ZERO 0x40

static void *(*next_mallocx)(size_t size, int flags);
static void *(*next_rallocx)(void *block, size_t size, int flags);
static size_t (*next_xallocx)(void *block, size_t size, size_t extra, int flags);
static void (*next_dallocx)(void *block, int flags);
static void (*next_sdallocx)(void *block, size_t size, int flags);

void memtrack_resolve_jemalloc(void)
{
    *(void **)&next_mallocx = memtrack_dlsym(RTLD_NEXT, "mallocx");
    *(void **)&next_rallocx = memtrack_dlsym(RTLD_NEXT, "rallocx");
    *(void **)&next_xallocx = memtrack_dlsym(RTLD_NEXT, "xallocx");
    *(void **)&next_dallocx = memtrack_dlsym(RTLD_NEXT, "dallocx");
    *(void **)&next_sdallocx = memtrack_dlsym(RTLD_NEXT, "sdallocx");
}

/* The lowest six bits are the logarithm of the alignment. */
static void *allocate(size_t size, int flags)
{
    size_t alignment = (size_t)1 << (flags & 0x3f);
    void *block = alignment <= 16 ? memtrack_next.malloc(size) : memtrack_next.memalign(alignment, size);
    if (block && flags & MEMTRACK_FLAG_ZERO)
        __builtin_memset(block, 0, size);
    return block;
}

void *mallocx(size_t size, int flags);
MEMTRACK_EXPORT void *mallocx(size_t size, int flags)
{
    memtrack_resolve();
    void *block = next_mallocx ? next_mallocx(size, flags) : allocate(size, flags);
    return memtrack_record(block, size, MEMTRACK_FRAME());
}

void *rallocx(void *block, size_t size, int flags);
MEMTRACK_EXPORT void *rallocx(void *block, size_t size, int flags)
{
    const uintptr_t *frame = MEMTRACK_FRAME();
    struct memtrack_block found = memtrack_realloc_begin(block, frame);
    void *fresh;
    if (next_rallocx) {
        fresh = next_rallocx(block, size, flags);
    } else {
        size_t old = memtrack_next.malloc_usable_size(block);
        fresh = allocate(size, flags);
        if (fresh) {
            __builtin_memcpy(fresh, block, old < size ? old : size);
            memtrack_next.free(block);
        }
    }
    memtrack_realloc_end(block, found, fresh, size, frame);
    return fresh;
}

/* Resizes in place as far as that goes, and returns the size that the block really has then. */
size_t xallocx(void *block, size_t size, size_t extra, int flags);
MEMTRACK_EXPORT size_t xallocx(void *block, size_t size, size_t extra, int flags)
{
    if (!next_xallocx)
        return memtrack_next.malloc_usable_size(block);
    const uintptr_t *frame = MEMTRACK_FRAME();
    struct memtrack_block found = memtrack_realloc_begin(block, frame);
    size_t real = next_xallocx(block, size, extra, flags);
    memtrack_realloc_end(block, found, real >= size ? block : NULL, size, frame);
    return real;
}

void dallocx(void *block, int flags);
MEMTRACK_EXPORT void dallocx(void *block, int flags)
{
    memtrack_record_free(block, MEMTRACK_FRAME());
    if (next_dallocx)
        next_dallocx(block, flags);
    else
        memtrack_next.free(block);
}

void sdallocx(void *block, size_t size, int flags);
MEMTRACK_EXPORT void sdallocx(void *block, size_t size, int flags)
{
    memtrack_record_free(block, MEMTRACK_FRAME());
    if (next_sdallocx)
        next_sdallocx(block, size, flags);
    else
        memtrack_next.free(block);
}
