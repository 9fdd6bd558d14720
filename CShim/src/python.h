/* SPDX-License-Identifier: Apache-2.0
 *
 * CPython: its small objects, its collector, and what it may say to us. Nothing of this is done unless MEMTRACK_OBJECTS=1
 * is set, and nothing of the interpreter is linked to: its C API is looked up by name in the program's scope.
 *
 * python_objects.c  the allocator domains OBJ and MEM, wrapped before the interpreter initialises
 * python_pending.c  what is set up once it is up: gc.callbacks and the module `memtrack`
 */
#ifndef MEMTRACK_PYTHON_H
#define MEMTRACK_PYTHON_H

#include <stdbool.h>
#include <stdint.h>

/* In memtrack_resolve, where a dlsym that fails does no harm. */
void memtrack_python_find(void);
/* Is there an interpreter whose objects are asked for? Its blocks start 16 bytes apart. */
bool memtrack_python_is_there(void);
/* The block that CPython's allocator is freeing on this thread: its free is counted already, also where pymalloc finds
 * that it is malloc's (a large one that a realloc made small). */
extern __thread uintptr_t memtrack_python_freeing __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* In the constructor, when all objects are relocated and no code of the program has run. */
void memtrack_python_wrap(void);

/* python_pending.c: in the constructor, too: the loader is not entered later */
void memtrack_python_resolve(void);
/* Once Py_IsInitialized says so, by a thread that holds the GIL. */
void memtrack_python_schedule(void);

/* python_stacks.c: in the constructor; whether and how stacks are taken */
void memtrack_python_stacks(uint32_t minor);
/* memtrack_charge for what the wrapped allocator allocates */
struct memtrack_thread;
struct memtrack_counters *memtrack_python_charge(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size,
                                                 uint32_t *cell);
void memtrack_python_forget(const void *block); /* before it is freed: it may be a code object */
void memtrack_python_after_fork(void);
/* Not 0 while CPython's allocator calls the next one: what malloc's hooks see then is CPython's. */
extern __thread uint32_t memtrack_python_calling __attribute__((visibility("hidden"), tls_model("initial-exec")));
void *memtrack_python_allocated(void *block, uint64_t size, const uintptr_t *frame); /* hooks.c */

#endif
