/* SPDX-License-Identifier: Apache-2.0
 *
 * An allocator that may be interrupted anywhere and re-entered, as no other may: a bump pointer that is moved by one
 * atomic addition. Preloaded behind the shim, so that signal handlers can allocate while a hook runs. A block is
 * preceded by its size; free does nothing.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RESERVED ((uint64_t)2 << 40) /* address space; what is touched is little */

static char *base;
static uint64_t used;

static char *arena(void)
{
    char *at = __atomic_load_n(&base, __ATOMIC_ACQUIRE);
    if (!at) {
        at = mmap(NULL, RESERVED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
            abort();
        __atomic_store_n(&base, at, __ATOMIC_RELEASE);
    }
    return at;
}

static void *take(size_t alignment, size_t size)
{
    if (alignment < 16)
        alignment = 16;
    if (size > RESERVED / 2)
        return NULL;
    uint64_t room = (size + 16 + alignment + 15) & ~(uint64_t)15;
    uint64_t at = __atomic_fetch_add(&used, room, __ATOMIC_RELAXED);
    if (at + room > RESERVED)
        return NULL;
    uintptr_t block = ((uintptr_t)arena() + at + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1);
    memcpy((char *)block - 8, &size, sizeof(size));
    return (void *)block;
}

/* The functions below call no other of them: that would be a call of the shim's. */
void *malloc(size_t size)
{
    void *block = take(16, size);
    if (!block)
        errno = ENOMEM;
    return block;
}

void *memalign(size_t alignment, size_t size)
{
    return take(alignment, size);
}

static size_t size_of(void *block)
{
    size_t size = 0;
    if (block)
        memcpy(&size, (char *)block - 8, sizeof(size));
    return size;
}

size_t malloc_usable_size(void *block)
{
    return size_of(block);
}

void free(void *block)
{
    (void)block;
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : take(16, bytes); /* zero: never used twice */
}

void *realloc(void *block, size_t size)
{
    void *fresh = take(16, size);
    size_t old = size_of(block);
    if (fresh && block)
        memcpy(fresh, block, old < size ? old : size);
    return fresh;
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = take(alignment, size);
    return *block ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return take(alignment, size);
}
