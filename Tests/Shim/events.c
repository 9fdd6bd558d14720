/* SPDX-License-Identifier: Apache-2.0
 *
 * A test double: writes down every allocation and free, in the order in which they happened.
 *
 * Preloaded behind the shim (LD_PRELOAD="libmemtrack_preload.so events.so") it is the shim's next allocator. The log is
 * $EVENTS_FILE, mapped: u64 number of events, then events of two u64: block, and size requested; size 2^64-1 is a free.
 * An allocation is written after the block was made, a free before it is freed, a realloc as a free and an
 * allocation; the order is that of one atomic counter, so that of two threads is a possible one. Events past the capacity
 * are counted and not written. Neither forks nor failing reallocs are for this one. Depends on libc alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAPACITY (UINT64_C(1) << 22)
#define FREED UINT64_MAX

struct event {
    uint64_t block, size;
};
static struct {
    uint64_t count, unused;
    struct event event[CAPACITY];
} *events;
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t), *(*next_aligned_alloc)(size_t, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void (*next_free)(void *);
static size_t (*next_usable)(void *);

static void resolve(void)
{
    static int resolving;
    if (next_malloc || resolving)
        return;
    resolving = 1;
    next_calloc = dlsym(RTLD_NEXT, "calloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_memalign = dlsym(RTLD_NEXT, "memalign");
    next_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next_free = dlsym(RTLD_NEXT, "free");
    next_usable = dlsym(RTLD_NEXT, "malloc_usable_size");
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    const char *path = getenv("EVENTS_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof *events) == 0) {
        void *at = mmap(NULL, sizeof *events, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED)
            events = at;
    }
    close(fd);
}

static void *note(void *block, uint64_t size)
{
    if (!block || !events)
        return block;
    uint64_t number = __atomic_fetch_add(&events->count, 1, __ATOMIC_SEQ_CST);
    if (number < CAPACITY)
        events->event[number] = (struct event){(uintptr_t)block, size};
    return block;
}

__attribute__((constructor)) static void start(void)
{
    resolve();
}

void *malloc(size_t size)
{
    resolve();
    return next_malloc ? note(next_malloc(size), size) : NULL;
}

void *calloc(size_t count, size_t size)
{
    static char early[4096];
    resolve();
    return next_calloc ? note(next_calloc(count, size), (uint64_t)count * size) : early;
}

void *realloc(void *block, size_t size)
{
    resolve();
    note(block, FREED);
    return note(next_realloc(block, size), size);
}

void free(void *block)
{
    if (!block)
        return;
    resolve();
    note(block, FREED);
    next_free(block);
}

void *memalign(size_t alignment, size_t size)
{
    resolve();
    return note(next_memalign(alignment, size), size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    resolve();
    return note(next_aligned_alloc(alignment, size), size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    resolve();
    int error = next_posix_memalign(block, alignment, size);
    if (!error)
        note(*block, size);
    return error;
}

size_t malloc_usable_size(void *block)
{
    resolve();
    return next_usable(block);
}
