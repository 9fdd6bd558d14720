/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the next allocator, and living until it is found.
 *
 * The first call of any hook runs memtrack_resolve, before there is a second thread. dlsym may allocate (calloc)
 * while it runs, always where it fails: such requests are served from a small static arena that is never reused; its
 * blocks are recognised by address in free, realloc and malloc_usable_size.
 */
#define _GNU_SOURCE
#include "limits.h"
#include "next.h"
#include "python.h"
#include "record.h"

#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>

MEMTRACK_LARGE char memtrack_early[MEMTRACK_EARLY_BYTES] __attribute__((aligned(64)));
static size_t early_used, early_count;
static int phase; /* 0 not resolved, 1 resolving, 2 resolved */
static bool next_is_glibc;

/* A header of 16 bytes in front of each block holds its size. */
static void *early_allocate(size_t alignment, size_t size)
{
    if (alignment < 16)
        alignment = 16;
    if (size > sizeof(memtrack_early) || alignment > 4096)
        return NULL;
    for (;;) {
        size_t used = MEMTRACK_LOAD(&early_used);
        size_t at = (used + 16 + alignment - 1) & ~(alignment - 1);
        size_t end = (at + size + 15) & ~(size_t)15;
        if (end > sizeof(memtrack_early))
            return NULL;
        if (__atomic_compare_exchange_n(&early_used, &used, end, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            __builtin_memcpy(memtrack_early + at - 16, &size, sizeof(size));
            MEMTRACK_ADD(&early_count, 1);
            return memtrack_early + at;
        }
    }
}

size_t memtrack_early_size(const void *block)
{
    size_t size;
    __builtin_memcpy(&size, (const char *)block - 16, sizeof(size));
    return size;
}

static void *early_malloc(size_t size)
{
    memtrack_resolve();
    return phase == 2 ? memtrack_next.malloc(size) : early_allocate(16, size);
}

static void early_free(void *block)
{
    memtrack_resolve();
    if (phase == 2 && !memtrack_is_early(block))
        memtrack_next.free(block);
}

static void *early_calloc(size_t count, size_t size)
{
    memtrack_resolve();
    if (phase == 2)
        return memtrack_next.calloc(count, size);
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : early_allocate(16, bytes); /* zero: never reused */
}

static void *early_realloc(void *block, size_t size)
{
    memtrack_resolve();
    if (phase == 2)
        return memtrack_next.realloc(block, size);
    void *fresh = early_allocate(16, size);
    if (fresh && block)
        __builtin_memcpy(fresh, block, memtrack_early_size(block) < size ? memtrack_early_size(block) : size);
    return fresh;
}

static void *early_memalign(size_t alignment, size_t size)
{
    memtrack_resolve();
    return phase == 2 ? memtrack_next.memalign(alignment, size) : early_allocate(alignment, size);
}

static int early_posix_memalign(void **block, size_t alignment, size_t size)
{
    memtrack_resolve();
    if (phase == 2)
        return memtrack_next.posix_memalign(block, alignment, size);
    *block = early_allocate(alignment, size);
    return *block ? 0 : ENOMEM;
}

static void *early_aligned_alloc(size_t alignment, size_t size)
{
    memtrack_resolve();
    return phase == 2 ? memtrack_next.aligned_alloc(alignment, size) : early_allocate(alignment, size);
}

static void *early_valloc(size_t size)
{
    memtrack_resolve();
    return phase == 2 ? memtrack_next.valloc(size) : early_allocate(4096, size);
}

static void *early_pvalloc(size_t size)
{
    memtrack_resolve();
    return phase == 2 ? memtrack_next.pvalloc(size) : early_allocate(4096, (size + 4095) & ~(size_t)4095);
}

static size_t early_malloc_usable_size(void *block)
{
    memtrack_resolve();
    if (memtrack_is_early(block))
        return memtrack_early_size(block);
    return phase == 2 ? memtrack_next.malloc_usable_size(block) : 0;
}

struct memtrack_next memtrack_next = {
#define MEMTRACK_EARLY(result, name, parameters, arguments) .name = early_##name,
    MEMTRACK_NEXT_FUNCTIONS(MEMTRACK_EARLY)
#undef MEMTRACK_EARLY
};

/* For functions that the allocator behind us does not define. */
static void *missing_memalign(size_t alignment, size_t size)
{
    void *block = NULL;
    int error = memtrack_next.posix_memalign(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size);
    if (error)
        errno = error;
    return error ? NULL : block;
}

static void *missing_valloc(size_t size)
{
    return memtrack_next.memalign(MEMTRACK_PAGE, size);
}

static void *missing_pvalloc(size_t size)
{
    return memtrack_next.memalign(MEMTRACK_PAGE, (size + MEMTRACK_PAGE - 1) & ~(size_t)(MEMTRACK_PAGE - 1));
}

static struct memtrack_object object_of(const void *function)
{
    struct memtrack_object object = {0};
    memtrack_object_find((uintptr_t)function, &object);
    return object;
}

bool memtrack_next_is_glibc(void)
{
    return next_is_glibc;
}

/* A sanitizer's allocator puts marks around each block and has to see all of a thread's life: it does not get along with
 * others, and is not counted. */
static bool has_sanitizer(void)
{
    static const char *const marks[] = {"__asan_init", "__tsan_init", "__lsan_init", "__msan_init", "__hwasan_init"};
    for (int i = 0; i < 5; i++)
        if (memtrack_dlsym(RTLD_DEFAULT, marks[i]))
            return true;
    return false;
}

/* AddressSanitizer ends a program that has any library in front of its own, lest somebody's malloc comes first. Ours only
 * passes on to its. What the user says in ASAN_OPTIONS comes after this. */
const char *__asan_default_options(void);
__attribute__((visibility("default"), used)) const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0";
}

extern __typeof__(dlvsym) dlvsym __attribute__((noplt)); /* as dlsym in runtime.h */

/* The version that programs ask for: an object may have that of a function and no default one. */
static void *versioned(const char *name)
{
    return dlvsym(RTLD_NEXT, name, __builtin_strcmp(name, "aligned_alloc") == 0 ? "GLIBC_2.16" : "GLIBC_2.2.5");
}

/* Does glibc's debugging allocator (libc_malloc_debug.so) come first behind us? A look without a version passes over it, while
 * the program's own calls would have reached it. */
static bool next_has_versions_alone(void)
{
    const void *plain = dlsym(RTLD_NEXT, "malloc"), *exact = versioned("malloc");
    if (plain == exact || !plain || !exact)
        return false;
    const void *wanted = object_of(exact).link_map;
    const struct link_map *at = object_of(plain).link_map;
    while (at && at != wanted)
        at = at->l_prev;
    return at != NULL;
}

static void *next_definition(const char *name, bool has_versions)
{
    void *function = has_versions ? versioned(name) : NULL;
    return function ? function : dlsym(RTLD_NEXT, name);
}

MEMTRACK_COLD void memtrack_resolve(void)
{
    if (phase != 0)
        return;
    phase = 1;
    int saved = errno;
    struct memtrack_next found;
    memtrack_resolve_first();
    bool has_versions = next_has_versions_alone();
#define MEMTRACK_FIND(result, name, parameters, arguments) *(void **)&found.name = next_definition(#name, has_versions);
    MEMTRACK_NEXT_FUNCTIONS(MEMTRACK_FIND)
#undef MEMTRACK_FIND
    if (!found.malloc || !found.free || !found.calloc || !found.realloc || !found.posix_memalign) {
        errno = saved; /* no allocator behind us: the arena serves until it is full */
        return;
    }
    if (!found.memalign)
        found.memalign = missing_memalign;
    if (!found.aligned_alloc)
        found.aligned_alloc = found.memalign;
    if (!found.valloc)
        found.valloc = missing_valloc;
    if (!found.pvalloc)
        found.pvalloc = missing_pvalloc;
    const void *libc = dlsym(RTLD_NEXT, "gnu_get_libc_version");
    struct memtrack_object malloc_object = object_of((const void *)found.malloc);
    next_is_glibc = libc && malloc_object.end && object_of(libc).start == malloc_object.start;
    memtrack_resolve_new(next_is_glibc ? NULL : (const void *)found.malloc);
    memtrack_resolve_dlclose();
    memtrack_resolve_fork();
    memtrack_resolve_seccomp();
    memtrack_resolve_mlockall();
    memtrack_resolve_jemalloc();
    memtrack_resolve_exec();
    memtrack_resolve_limits();
    memtrack_resolve_sigaltstack();
    bool is_sanitized = has_sanitizer();
    memtrack_python_find();
    /* A function that is not there left a message, in our arena, which the target must not find: a success drops it. Not
     * dlerror, which translates it, and so takes locks of the locale that our caller may hold. */
    (void)dlsym(RTLD_NEXT, "malloc");
    memtrack_next = found;
    phase = 2;
    if (!is_sanitized)
        memtrack_boot();
    MEMTRACK_HEALTH(early_blocks, early_count);
    if (!memtrack_is_first())
        MEMTRACK_HEALTH(foreign_malloc, 1);
    errno = saved;
}
