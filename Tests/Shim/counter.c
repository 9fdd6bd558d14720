/* SPDX-License-Identifier: Apache-2.0
 *
 * A test double: counts what reaches the allocator, by other means than the shim does.
 *
 * Preloaded behind the shim (LD_PRELOAD="libmemtrack_preload.so counter.so") it is the shim's next allocator, so both
 * see the very same calls; preloaded alone it tells what a program does without us. Totals are kept in a file that is
 * mapped, one for each process image, so they survive any death: $COUNTER_DIRECTORY/PID-N with five u64:
 * allocations, allocated bytes, frees, reallocs, 1 when the image has exec'ed or exited.
 *
 * A realloc counts as one allocation and one free. A forked child has a file of its own (a vfork child is in its
 * parent's memory, and counts there). Built with -fno-builtin; depends on libc alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct totals {
    uint64_t allocations, bytes, frees, reallocs;
};

static struct totals *totals;
static pid_t owner;
static char directory[512];
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t), *(*next_aligned_alloc)(size_t, size_t), *(*next_valloc)(size_t);
static void *(*next_pvalloc)(size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);
static void (*next_free)(void *);
static size_t (*next_usable)(void *);

static void open_file(void)
{
    int saved = errno;
    owner = (pid_t)syscall(SYS_getpid);
    totals = NULL;
    if (!directory[0] && getenv("COUNTER_DIRECTORY"))
        snprintf(directory, sizeof(directory), "%s", getenv("COUNTER_DIRECTORY"));
    for (int n = 0; directory[0] && n < 1000; n++) {
        char path[600];
        snprintf(path, sizeof(path), "%s/%d-%d", directory, (int)owner, n);
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            continue;
        if (ftruncate(fd, 4096) == 0) {
            void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            totals = at == MAP_FAILED ? NULL : at;
        }
        close(fd);
        break;
    }
    errno = saved;
}

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
    next_valloc = dlsym(RTLD_NEXT, "valloc");
    next_pvalloc = dlsym(RTLD_NEXT, "pvalloc");
    next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    next_free = dlsym(RTLD_NEXT, "free");
    next_usable = dlsym(RTLD_NEXT, "malloc_usable_size");
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    open_file();
}

static void add(uint64_t allocations, uint64_t bytes, uint64_t frees, uint64_t reallocs)
{
    if (!owner)
        open_file();
    if (!totals)
        return;
    __atomic_fetch_add(&totals->allocations, allocations, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals->frees, frees, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals->reallocs, reallocs, __ATOMIC_RELAXED);
}

static void forked(void)
{
    owner = 0; /* the file is made at the child's first call */
    totals = NULL;
}

/* Before any signal handler can interrupt it. */
__attribute__((constructor)) static void start(void)
{
    resolve();
    pthread_atfork(NULL, NULL, forked);
}

static void *counted(void *block, uint64_t bytes)
{
    if (block)
        add(1, bytes, 0, 0);
    return block;
}

void *malloc(size_t size)
{
    resolve();
    return next_malloc ? counted(next_malloc(size), size) : NULL;
}

void *calloc(size_t count, size_t size)
{
    static char early[4096];
    resolve();
    if (!next_calloc)
        return early; /* dlsym's own request, served once, zeroed */
    return counted(next_calloc(count, size), (uint64_t)count * size);
}

void *realloc(void *block, size_t size)
{
    resolve();
    void *fresh = next_realloc ? next_realloc(block, size) : NULL;
    if (!block)
        return counted(fresh, size);
    if (fresh)
        add(1, size, 1, 1);
    else if (size == 0)
        add(0, 0, 1, 1);
    return fresh;
}

void free(void *block)
{
    if (!block)
        return;
    resolve();
    next_free(block);
    add(0, 0, 1, 0);
}

void *memalign(size_t alignment, size_t size)
{
    resolve();
    return counted(next_memalign(alignment, size), size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    resolve();
    return counted(next_aligned_alloc(alignment, size), size);
}

void *valloc(size_t size)
{
    resolve();
    return counted(next_valloc(size), size);
}

void *pvalloc(size_t size)
{
    resolve();
    return counted(next_pvalloc(size), size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    resolve();
    int error = next_posix_memalign(block, alignment, size);
    if (!error)
        add(1, size, 0, 0);
    return error;
}

size_t malloc_usable_size(void *block)
{
    resolve();
    return next_usable(block);
}
