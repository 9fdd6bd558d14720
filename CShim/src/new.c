/* SPDX-License-Identifier: Apache-2.0
 *
 * operator new and operator delete, all replaceable forms, by their mangled names (Itanium C++ ABI).
 *
 * Three cases, told apart when the shim starts:
 *   * the next definition is libstdc++'s or libc++'s, which is malloc or free and nothing else, while all goes well and
 *     the program replaces none of them: the allocator behind us is called at once, and the call site counted is that of
 *     `new`. That saves three to five calls a pair, and tells `new` in one function from `new` in another by the memo's
 *     first key. Where memory runs out theirs is called: it knows the new handler, and throws.
 *   * the next definition is another's, which calls malloc: jump there; readers skip the wrapper's frame.
 *   * the next definition belongs to the allocator behind us (tcmalloc, jemalloc, mimalloc): it never calls malloc, so
 *     it is counted here. Nothing is held across the call: it may throw.
 *   * there is none in the global scope (a C++ library that was loaded with RTLD_LOCAL): the caller's own library may
 *     define one, which it would have got without us, and gets. Else malloc and free serve. Only when memory runs out
 *     is the real operator needed, to call the new handler and throw.
 */
#define _GNU_SOURCE
#include "hooks.h"
#include "next.h"
#include "record.h"
#include "samplingway.h"
#include "shortway.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stdlib.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))

/* X(name, parameters, arguments, aligned allocation of) */
#define MEMTRACK_NEW_FUNCTIONS(X) \
    X(_Znwm, (size_t size), (size), next_malloc(size)) \
    X(_Znam, (size_t size), (size), next_malloc(size)) \
    X(_ZnwmRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), next_malloc(size)) \
    X(_ZnamRKSt9nothrow_t, (size_t size, const void *tag), (size, tag), next_malloc(size)) \
    X(_ZnwmSt11align_val_t, (size_t size, size_t align), (size, align), next_aligned(size, align)) \
    X(_ZnamSt11align_val_t, (size_t size, size_t align), (size, align), next_aligned(size, align)) \
    X(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag), (size, align, tag), \
      next_aligned(size, align)) \
    X(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t align, const void *tag), (size, align, tag), \
      next_aligned(size, align))

#define MEMTRACK_DELETE_FUNCTIONS(X) \
    X(_ZdlPv, (void *block), (block)) \
    X(_ZdaPv, (void *block), (block)) \
    X(_ZdlPvm, (void *block, size_t size), (block, size)) \
    X(_ZdaPvm, (void *block, size_t size), (block, size)) \
    X(_ZdlPvRKSt9nothrow_t, (void *block, const void *tag), (block, tag)) \
    X(_ZdaPvRKSt9nothrow_t, (void *block, const void *tag), (block, tag)) \
    X(_ZdlPvSt11align_val_t, (void *block, size_t align), (block, align)) \
    X(_ZdaPvSt11align_val_t, (void *block, size_t align), (block, align)) \
    X(_ZdlPvmSt11align_val_t, (void *block, size_t size, size_t align), (block, size, align)) \
    X(_ZdaPvmSt11align_val_t, (void *block, size_t size, size_t align), (block, size, align)) \
    X(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t align, const void *tag), (block, align, tag)) \
    X(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *block, size_t align, const void *tag), (block, align, tag))

static struct {
#define MEMTRACK_FIELD(name, parameters, arguments, allocation) void *(*name) parameters;
    MEMTRACK_NEW_FUNCTIONS(MEMTRACK_FIELD)
#undef MEMTRACK_FIELD
#define MEMTRACK_FIELD(name, parameters, arguments) void (*name) parameters;
    MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_FIELD)
#undef MEMTRACK_FIELD
} next;
/* The third case above, for each function: an allocator may lack some, and libstdc++'s calls the others. */
static struct {
#define MEMTRACK_FIELD(name, ...) bool name;
    MEMTRACK_NEW_FUNCTIONS(MEMTRACK_FIELD)
    MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_FIELD)
#undef MEMTRACK_FIELD
} counted;
/* The first case above: all of them are the standard library's, the program replaces none, and ours is the malloc that they
 * would call. */
static enum { NOT_PLAIN, EXACT, SAMPLING } plain;

static bool same_object(const void *function, const void *other)
{
    struct memtrack_object a, b;
    return function && other && memtrack_object_find((uintptr_t)function, &a) &&
           memtrack_object_find((uintptr_t)other, &b) && a.link_map == b.link_map;
}

/* Is it a definition of the C++ library's own? Told by the file's name. */
static bool is_standard(const void *function)
{
    struct memtrack_object object;
    if (!function || !memtrack_object_find((uintptr_t)function, &object))
        return false;
    const char *path = ((const struct link_map *)object.link_map)->l_name, *name = path;
    for (; path && *path; path++)
        if (*path == '/')
            name = path + 1;
    const char *const libraries[] = {"libstdc++.so.", "libc++.so.", "libc++abi.so."};
    for (size_t i = 0; name && i < sizeof(libraries) / sizeof(libraries[0]); i++)
        if (__builtin_strncmp(name, libraries[i], __builtin_strlen(libraries[i])) == 0)
            return true;
    return false;
}

#define MEMTRACK_OWN(name, parameters, ...) \
    extern __attribute__((visibility("default"))) __typeof__(*next.name) name; \
    extern __attribute__((visibility("hidden"), alias(#name))) __typeof__(*next.name) name##_own;
MEMTRACK_NEW_FUNCTIONS(MEMTRACK_OWN)
MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_OWN)
#undef MEMTRACK_OWN

/* Are all of ours those that the program calls? One that replaces some, new(size) and delete(block) mostly, counts on the
 * library's others to end in these: that of delete(block, size) hands the block to the program's delete. */
static bool are_first(void)
{
#define MEMTRACK_COMPARE(name, ...) && (name == name##_own || memtrack_is_first_definition(#name))
    return true MEMTRACK_NEW_FUNCTIONS(MEMTRACK_COMPARE) MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_COMPARE);
#undef MEMTRACK_COMPARE
}

void memtrack_resolve_new(const void *foreign_malloc)
{
#define MEMTRACK_FIND(name, ...) \
    { \
        void *function = memtrack_dlsym(RTLD_NEXT, #name); \
        counted.name = same_object(function, foreign_malloc); \
        *(void **)&next.name = function; \
        all = all && is_standard(function); \
    }
    bool all = true;
    MEMTRACK_NEW_FUNCTIONS(MEMTRACK_FIND)
    MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_FIND)
#undef MEMTRACK_FIND
    plain = all && are_first() && memtrack_is_first() ? EXACT : NOT_PLAIN;
}

void memtrack_sample_new(void)
{
    if (plain)
        plain = SAMPLING;
}

static void *next_malloc(size_t size)
{
    return (plain || memtrack_is_first() ? memtrack_next.malloc : malloc)(size ? size : 1);
}

/* An alignment that is no power of two is the library's to refuse: memalign takes the next larger one. */
static void *next_aligned(size_t size, size_t align)
{
    if (MEMTRACK_UNLIKELY(!align || align & (align - 1)))
        return NULL;
    return (plain || memtrack_is_first() ? memtrack_next.memalign : memalign)(align, size ? size : 1);
}

/* Recorded only where malloc is ours: another's free would never tell us of the end of the block. */
static void *recorded(void *block, size_t size, const uintptr_t *frame)
{
    return memtrack_is_first() ? memtrack_record(block, size, frame) : block;
}

static void release(void *block, const uintptr_t *frame)
{
    if (memtrack_is_first())
        memtrack_release(block, frame);
    else
        free(block);
}

/* Out of memory with no operator in the global scope: the caller's own library has one, which throws. The library
 * is opened again, by its own path: dlsym crashes on a link_map that came in as a dependency (libstdc++ itself), which
 * has no scope of its own until then. */
static MEMTRACK_COLD void *find_throwing(const char *name, const void *caller)
{
    struct memtrack_object object;
    if (!memtrack_object_find((uintptr_t)caller, &object))
        return NULL;
    const char *path = ((const struct link_map *)object.link_map)->l_name;
    void *handle = dlopen(path && path[0] ? path : NULL, RTLD_LAZY | RTLD_NOLOAD);
    void *function = handle ? dlsym(handle, name) : NULL;
    if (handle)
        dlclose(handle); /* the caller is in it: it stays */
    (void)dlsym(RTLD_NEXT, "malloc"); /* drops the message of a failure, see memtrack_resolve */
    return function;
}

/* The definition in the library that `caller` is in. */
static MEMTRACK_COLD void *own_definition(const char *name, const void *caller)
{
    struct memtrack_object object;
    if (!memtrack_object_find((uintptr_t)caller, &object))
        return NULL;
    const struct link_map *map = object.link_map;
    return memtrack_symbol(map->l_ld, map->l_addr, 0, name); /* pointers in it: relocated by the loader */
}

/* The functions that these end in are jumped to: what stands above their frame is the caller's return address. */
#define MEMTRACK_DEFINE_NEW(name, parameters, arguments, allocation) \
    void *name parameters; \
    static __attribute__((noinline)) void *name##_other parameters \
    { \
        if (MEMTRACK_LIKELY(next.name && !counted.name)) \
            return next.name arguments; \
        if (!next.name) { \
            void *(*own) parameters; \
            *(void **)&own = own_definition(#name, __builtin_return_address(0)); \
            if (own) \
                return own arguments; \
        } \
        void *block = next.name ? next.name arguments : allocation; \
        if (MEMTRACK_UNLIKELY(!block && !next.name)) { \
            void *(*function) parameters; \
            *(void **)&function = find_throwing(#name, __builtin_return_address(0)); \
            return function ? function arguments : NULL; \
        } \
        return recorded(block, size, MEMTRACK_FRAME()); \
    } \
    static __attribute__((noinline)) void *name##_sampling parameters \
    { \
        void *got = allocation; \
        return MEMTRACK_LIKELY(got) ? memtrack_allocated_sampling(got, size ? size : 1, MEMTRACK_FRAME()) \
                                    : name##_other arguments; \
    } \
    MEMTRACK_EXPORT void *name parameters \
    { \
        if (MEMTRACK_LIKELY(plain == EXACT)) { \
            void *got = allocation; \
            if (MEMTRACK_LIKELY(got != NULL)) \
                return memtrack_allocated_short(got, size ? size : 1); \
        } \
        return plain == SAMPLING ? name##_sampling arguments : name##_other arguments; \
    }
MEMTRACK_NEW_FUNCTIONS(MEMTRACK_DEFINE_NEW)

#define MEMTRACK_DEFINE_DELETE(name, parameters, arguments) \
    void name parameters; \
    MEMTRACK_EXPORT void name parameters \
    { \
        if (MEMTRACK_LIKELY(plain == EXACT)) { \
            if (MEMTRACK_LIKELY(memtrack_freeing_short(block))) \
                memtrack_next.free(block); \
            return; \
        } \
        if (plain) { \
            memtrack_sampling_free(block); \
            return; \
        } \
        if (MEMTRACK_UNLIKELY(!next.name)) { \
            void (*own) parameters; \
            *(void **)&own = own_definition(#name, __builtin_return_address(0)); \
            if (own) { \
                own arguments; \
                return; \
            } \
            release(block, MEMTRACK_FRAME()); \
            return; \
        } \
        if (MEMTRACK_UNLIKELY(counted.name)) \
            memtrack_record_free(block, MEMTRACK_FRAME()); \
        next.name arguments; \
    }
MEMTRACK_DELETE_FUNCTIONS(MEMTRACK_DEFINE_DELETE)
