/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ways to walk a stack share (stacks.c, walk_rules.c).
 */
#ifndef MEMTRACK_WALK_H
#define MEMTRACK_WALK_H

#include "stacks.h"

/* Reads a word of the stack: only inside the thread's stack, or where the kernel says that it is readable. */
bool memtrack_walk_read(struct memtrack_thread *thread, struct memtrack_walk *walk, uint64_t address, uint64_t *value);

/* Notes that the walk depends on this word. */
void memtrack_walk_depend(struct memtrack_walk *walk, uint64_t address, uint64_t value);

/* A step through code without unwind information; false: it does not look like a frame. */
bool memtrack_walk_frame_pointer(struct memtrack_thread *thread, struct memtrack_walk *walk, uint64_t ip, uint64_t sp,
                                 uint64_t rbp, uint64_t *caller, uint64_t *caller_rbp);

/* Walks by rules alone. False where some frame needs the full unwinder; the walk must then start again. */
bool memtrack_walk_by_rules(struct memtrack_thread *thread, struct memtrack_walk *walk, const uintptr_t *frame,
                            uint32_t depth);

#endif
