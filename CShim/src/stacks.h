/* SPDX-License-Identifier: Apache-2.0
 *
 * From the frame of a hook to the id of its call stack.
 *
 * Three ways, tried in this order: the memo (memo.h, inlined into the hooks), a walk by pre-decoded rules
 * (stacks.c, rules.c), a walk with the full unwinder (unwind_step.c) for what a rule cannot say. All three give the
 * same stack; each walk also yields the words it read, for the memo.
 */
#ifndef MEMTRACK_STACKS_H
#define MEMTRACK_STACKS_H

#include "memo.h"

/* A hook's frame, as the hooks are compiled with frame pointers: [0] the caller's rbp, [1] the return address. */
#define MEMTRACK_FRAME() ((const uintptr_t *)__builtin_frame_address(0))

/* Scratch space of one walk. */
struct memtrack_walk {
    uint32_t count;       /* frames, innermost first */
    uint32_t words;       /* stack words read */
    bool complete;        /* the outermost frame was reached */
    bool truncated;       /* the depth limit was */
    bool no_memo;         /* depends on more than the words listed */
    bool needs_rbp;       /* depends on the rbp of the hook's caller */
    bool foreign;         /* not on the thread's own stack: every page is checked before it is read */
    bool full;            /* the full unwinder was needed */
    bool guessed;         /* went through code without unwind information by frame pointer */
    uintptr_t base;       /* address of the hook's return address slot */
    uintptr_t checked_page; /* foreign: the last page that was found readable */
    uint64_t address[MEMTRACK_MAX_DEPTH];
    uint16_t module[MEMTRACK_MAX_DEPTH];
    uint8_t flags[MEMTRACK_MAX_DEPTH]; /* MEMTRACK_NODE_SIGNAL */
    uint64_t word[MEMTRACK_MEMO_WORDS];
    uint16_t offset[MEMTRACK_MEMO_WORDS];
};

/* Unwinds, interns and memoises. The entry if the stack was memoised; else NULL, and *stack is its id. */
struct memtrack_memo_entry *memtrack_stack_miss(struct memtrack_thread *thread, const uintptr_t *frame,
                                                uint32_t *stack);


/* rules.c */
struct memtrack_rule memtrack_rule_for(uint64_t pc, bool exact);

/* verify.c: libunwind, loaded on request by the constructor. Addresses are those of libunwind's own walk, from the
 * hook's caller outwards; returns how many, 0 if the hook's frame was not found. */
void memtrack_libunwind_load(void);
uint32_t memtrack_libunwind_walk(const uintptr_t *frame, uint64_t *address, uint32_t most);
void memtrack_verify(const uintptr_t *frame, uint32_t stack);

/* Modes that the hooks do not inline: depth 1, libunwind, verification. */
uint32_t memtrack_site_cell_special(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size);

/* The cell for an allocation of `size` bytes by the caller of the hook. */
MEMTRACK_INLINE uint32_t memtrack_site_cell(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size)
{
    uint32_t size_class = memtrack_size_class(size);
    if (MEMTRACK_UNLIKELY(memtrack_rt.special))
        return memtrack_site_cell_special(thread, frame, size);
    struct memtrack_memo_entry *entry =
        memtrack_memo_find(thread->memo, frame[1], (uintptr_t)&frame[1], frame[0]);
    if (MEMTRACK_UNLIKELY(!entry)) {
        uint32_t stack;
        entry = memtrack_stack_miss(thread, frame, &stack);
        if (!entry)
            return memtrack_cell(stack, size_class);
    }
    return memtrack_memo_cell(entry, size_class);
}

#endif
