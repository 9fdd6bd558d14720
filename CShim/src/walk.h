/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ways to walk a stack share (stacks.c, walk_rules.c).
 */
#ifndef MEMTRACK_WALK_H
#define MEMTRACK_WALK_H

#include "stacks.h"

/* Reads a word of another stack than the thread's own: asks the kernel, page by page. In stacks.c. */
bool memtrack_walk_read_foreign(struct memtrack_walk *walk, uint64_t address, uint64_t *value);

/* Reads a word of the stack: only inside the thread's stack, or where the kernel says that it is readable. */
MEMTRACK_INLINE bool memtrack_walk_read(struct memtrack_thread *thread, struct memtrack_walk *walk, uint64_t address,
                                        uint64_t *value)
{
    if (MEMTRACK_UNLIKELY(walk->foreign))
        return memtrack_walk_read_foreign(walk, address, value);
    if (MEMTRACK_UNLIKELY(address & 7 || address < walk->base || address >= thread->stack_top))
        return false;
    *value = *(const uint64_t *)address;
    return true;
}

/* Notes that the walk depends on this word. */
MEMTRACK_INLINE void memtrack_walk_depend(struct memtrack_walk *walk, uint64_t address, uint64_t value)
{
    uint32_t at = walk->end_word;
    if (MEMTRACK_UNLIKELY(at - walk->first_word >= MEMTRACK_MEMO_WORDS)) {
        walk->no_memo = true;
        return;
    }
    walk->word[at] = value;
    walk->word_address[at] = address;
    walk->end_word = at + 1;
}

/* A step through code without unwind information; false: it does not look like a frame. */
bool memtrack_walk_frame_pointer(struct memtrack_thread *thread, struct memtrack_walk *walk, uint64_t ip, uint64_t sp,
                                 uint64_t rbp, uint64_t *caller, uint64_t *caller_rbp);

/* This frame will be looked for below that parent (memtrack_nodes): what is waited for longest is fetched now. In nodes.c. */
void memtrack_nodes_expect(uint32_t parent, const struct memtrack_frame *frame);

/* Walks by rules alone, in thread->walk, or in thread->last_walk where it could be joined: returns which. NULL where some
 * frame needs the full unwinder; the walk must then start again. */
struct memtrack_walk *memtrack_walk_by_rules(struct memtrack_thread *thread, const uintptr_t *hook, uint32_t depth);

#endif
