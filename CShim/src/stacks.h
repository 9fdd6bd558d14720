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

/* One frame of a walk: the state in which it was entered, from which all further out follows. */
struct memtrack_frame {
    uint64_t ip;
    uint64_t sp;
    uint64_t rbp;
    uint64_t rbp_slot;   /* where rbp was read */
    uint32_t node;       /* of the path from the outermost frame to this one */
    uint32_t first_word; /* words from here on were read by this frame and those further out */
    uint16_t module;
    uint8_t flags;       /* MEMTRACK_NODE_SIGNAL */
    uint8_t rbp_use;     /* MEMTRACK_RBP_* */
};
#define MEMTRACK_RBP_USED 1u     /* this frame's CFA depends on rbp */
#define MEMTRACK_RBP_RELOADED 2u /* the caller's rbp is another one, read from the stack */
#define MEMTRACK_RBP_NEEDED 4u   /* this frame or one further out depends on the rbp of this frame */
#define MEMTRACK_RBP_LISTED 8u   /* the first word of this frame is the one that its rbp came from */
#define MEMTRACK_RBP_NOTED 16u   /* that word is listed already, by a frame further in */

/* One walk: scratch space while it goes on, and afterwards what the next walk may join (walk_rules.c). Frames and words
 * stand somewhere in the middle of their rooms, innermost first: then a walk that shares its outer frames with the
 * last one is that one, with other frames and words put in front. */
#define MEMTRACK_WALK_FRAMES (2 * MEMTRACK_MAX_DEPTH)
#define MEMTRACK_WALK_WORDS (2 * MEMTRACK_MEMO_WORDS)
struct memtrack_walk {
    uint32_t count;       /* frames */
    uint32_t known_from;  /* from this frame on, frame[].node is known already */
    uint32_t first_word;  /* [first_word, end_word): the stack words that the walk depends on, in the order of the frames */
    uint32_t end_word;
    bool complete;        /* the outermost frame was reached */
    bool truncated;       /* the depth limit was */
    bool no_memo;         /* depends on more than the words listed */
    bool foreign;         /* not on the thread's own stack: every page is checked before it is read */
    bool by_rules;        /* frame[] is fit for the next walk to join */
    uintptr_t base;       /* address of the hook's return address slot */
    uintptr_t checked_page; /* foreign: the last page that was found readable */
    struct memtrack_frame *frame; /* the innermost, in frames[] */
    struct memtrack_frame frames[MEMTRACK_WALK_FRAMES];
    uint64_t word_address[MEMTRACK_WALK_WORDS];
    uint64_t word[MEMTRACK_WALK_WORDS];
};

/* An empty walk, with room on both sides. */
static inline void memtrack_walk_begin(struct memtrack_walk *walk)
{
    __builtin_memset(walk, 0, offsetof(struct memtrack_walk, frame));
    walk->known_from = UINT32_MAX;
    walk->first_word = walk->end_word = MEMTRACK_MEMO_WORDS / 2;
    walk->frame = walk->frames + MEMTRACK_MAX_DEPTH / 2;
}

/* Forgets the last walk: the code at its addresses may be another now, or a handler left while it was written. */
static inline void memtrack_walk_forget(struct memtrack_thread *thread)
{
    thread->walk = thread->walks[0];
    thread->last_walk = thread->walks[1];
    thread->last_walk->count = 0;
}

/* Is `slot` on the thread's own stack? Extends what is known of it downwards where need be. */
bool memtrack_on_own_stack(struct memtrack_thread *thread, uintptr_t slot);

/* Unwinds and interns. The walk, until the next one, if it may be kept in the memo; else NULL. *stack is the id. */
const struct memtrack_walk *memtrack_stack_miss(struct memtrack_thread *thread, const uintptr_t *frame, uint32_t *stack);
struct memtrack_memo_entry *memtrack_stack_keep(struct memtrack_thread *thread, const uintptr_t *frame,
                                                const struct memtrack_walk *walk, uint32_t stack);

/* verify.c: libunwind, loaded on request by the constructor. Addresses are those of libunwind's own walk, from the
 * hook's caller outwards; returns how many, 0 if the hook's frame was not found. */
void memtrack_libunwind_load(void);
uint32_t memtrack_libunwind_walk(const uintptr_t *frame, uint64_t *address, uint32_t most);
void memtrack_verify(const uintptr_t *frame, uint32_t stack);

/* The stack in the modes that the hooks do not inline: depth 1, libunwind, verification. */
uint32_t memtrack_stack_special(struct memtrack_thread *thread, const uintptr_t *frame);

#endif
