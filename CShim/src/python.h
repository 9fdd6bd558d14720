/* SPDX-License-Identifier: Apache-2.0
 *
 * CPython: its small objects, its collector, and what it may say to us. Nothing of this is done unless MEMTRACK_OBJECTS=1
 * is set, and nothing of the interpreter is linked to: its C API is looked up by name in the program's scope.
 *
 * python_objects.c  the allocator domains OBJ and MEM, wrapped before the interpreter initialises; python_hooks.c with what
 * python_stacks.c   call stacks of Python code (python_frames.h), python_names.c what they are called, python_native.c the C
 *                   frames on top of them
 * python_pending.c  what is set up once it is up: gc.callbacks and the module `memtrack`
 */
#ifndef MEMTRACK_PYTHON_H
#define MEMTRACK_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In memtrack_resolve, where a dlsym that fails does no harm. */
void memtrack_python_find(void);
/* Is there an interpreter whose objects are asked for? Its blocks start 16 bytes apart. */
bool memtrack_python_is_there(void);
/* The block that CPython's allocator is freeing on this thread: its free is counted already, also where pymalloc finds
 * that it is malloc's (a large one that a realloc made small). */
extern __thread uintptr_t memtrack_python_freeing __attribute__((visibility("hidden"), tls_model("initial-exec")));

/* PyMemAllocatorEx */
struct memtrack_python_allocator {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};
/* python_hooks.c: by minor version, from MEMTRACK_PYTHON_FIRST on; the context is the allocator behind them */
extern const struct memtrack_python_allocator memtrack_python_hooks[] __attribute__((visibility("hidden")));

extern bool memtrack_python_waits __attribute__((visibility("hidden"))); /* for the interpreter to be up */
void memtrack_python_look(void);                                          /* whether it is */
extern bool memtrack_python_is_late __attribute__((visibility("hidden"))); /* there are blocks made before we came */

/* In the constructor, when all objects are relocated and no code of the program has run. */
void memtrack_python_wrap(void);

/* python_pending.c: in the constructor, too: the loader is not entered later */
void memtrack_python_resolve(void);
/* What pymalloc has handed out, by its own count; by a thread that holds the GIL. -1: not known. */
int64_t memtrack_python_allocated_blocks(void);
/* Once Py_IsInitialized says so, by a thread that holds the GIL. */
void memtrack_python_schedule(void);

/* python_stacks.c: in the constructor; whether and how stacks are taken */
void memtrack_python_stacks(uint32_t minor);
struct memtrack_thread;
/* A thread that is new here, or has the bank of another now. */
void memtrack_python_adopt(struct memtrack_thread *thread);
/* memtrack_charge for what the wrapped allocator allocates */
struct memtrack_counters *memtrack_python_charge(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size,
                                                 uint32_t *cell);
/* The same for what C code that Python called allocates of malloc: `stack` is the native one. NULL: Python has no part in it,
 * or cannot be asked. */
struct memtrack_counters *memtrack_python_merged(struct memtrack_thread *thread, uint32_t stack, uint64_t size,
                                                 uint32_t *cell);
void memtrack_python_forget(uintptr_t block, uint64_t size); /* before it is freed: it may be a code object */
#define MEMTRACK_PYTHON_CODE_LEAST 160u                       /* bytes of a code object, whatever the version */
void memtrack_python_after_fork(void);
/* Not 0 while CPython's allocator calls the next one, or an allocation of its own goes the long way: what malloc's hooks
 * and memtrack_allocated_other see then is CPython's. */
extern __thread uint32_t memtrack_python_calling __attribute__((visibility("hidden"), tls_model("initial-exec")));

#endif
