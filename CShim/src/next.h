/* SPDX-License-Identifier: Apache-2.0
 *
 * The allocator behind us: the next definition of each function after ours, resolved as one set.
 */
#ifndef MEMTRACK_NEXT_H
#define MEMTRACK_NEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Every function of the malloc family that we forward to. X(result, name, parameters, arguments) */
#define MEMTRACK_NEXT_FUNCTIONS(X) \
    X(void *, malloc, (size_t size), (size)) \
    X(void, free, (void *block), (block)) \
    X(void *, calloc, (size_t count, size_t size), (count, size)) \
    X(void *, realloc, (void *block, size_t size), (block, size)) \
    X(void *, memalign, (size_t alignment, size_t size), (alignment, size)) \
    X(int, posix_memalign, (void **block, size_t alignment, size_t size), (block, alignment, size)) \
    X(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size)) \
    X(void *, valloc, (size_t size), (size)) \
    X(void *, pvalloc, (size_t size), (size)) \
    X(size_t, malloc_usable_size, (void *block), (block))

struct memtrack_next {
#define MEMTRACK_FIELD(result, name, parameters, arguments) result(*name) parameters;
    MEMTRACK_NEXT_FUNCTIONS(MEMTRACK_FIELD)
#undef MEMTRACK_FIELD
};

/* Until the first call, pointers to functions that resolve the set and then forward. Never NULL. */
extern struct memtrack_next memtrack_next __attribute__((visibility("hidden")));

void memtrack_resolve(void);          /* finds the set and starts the shim; any number of times */
void memtrack_resolve_new(const void *foreign_malloc); /* new.c; NULL: malloc is glibc's */
void memtrack_resolve_dlclose(void);  /* client.c */
void memtrack_resolve_seccomp(void);  /* seccomp.c */
void memtrack_resolve_mlockall(void); /* lock.c */
void memtrack_resolve_jemalloc(void); /* jemalloc.c */
void memtrack_resolve_exec(void);     /* exec.c */
void memtrack_resolve_sigaltstack(void); /* altstack.c */
bool memtrack_next_is_glibc(void);

/* The bootstrap arena, next.c. */
#define MEMTRACK_EARLY_BYTES 65536u
extern char memtrack_early[MEMTRACK_EARLY_BYTES] __attribute__((visibility("hidden")));
static inline bool memtrack_is_early(const void *block)
{
    return (const char *)block >= memtrack_early && (const char *)block < memtrack_early + sizeof(memtrack_early);
}
size_t memtrack_early_size(const void *block);

#endif
