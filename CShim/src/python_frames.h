/* SPDX-License-Identifier: Apache-2.0
 *
 * Python call stacks: which one is the present one.
 *
 * The stack is read from the interpreter's own chain of frames, with the offsets of each version. Only the wrapped
 * allocator gets here, so the thread holds the GIL (its identity is compared all the same) and the chain
 * stands still: all that is read is the interpreter's live data.
 *
 * DATA MODEL. One WORD a frame names code object and instruction: from 3.11 on the address of the instruction, which lies in
 * the code object; before that the address of the code object, with the instruction's number in the upper 16 bits. Frames
 * of the C code that enters the interpreter (3.12 on) have words too. In a bank's cache
 *
 *   a FRAME   is (frame further out, word) and leads to the node in the region: a trie, as there
 *   a STACK   holds all the words of one chain and, for one size class, the cell and its counters. `recent` leads to the one of
 *             the same class that last had the same innermost frames. All words are compared, six instructions a frame:
 *             mostly that is all, and where it fails the trie has the answer or gets it. Where C code allocates of malloc, the
 *             native stack's number stands beside the size class (python_native.c)
 *
 * In a thread, `python_state` is the interpreter's thread state that was found to be this thread's, `python_where` the word in
 * which the interpreter keeps the present one: where the two agree nothing else need be looked at. That word is known from the
 * code of the interpreter's function that returns it (python_stacks.c); where it is not, the hooks call the function.
 *
 * So the answer is exact as long as code objects live. When one is freed, its address may become another's: its frames die
 * with it, and all stacks are forgotten (python_stacks.c).
 *
 * One cache a bank, filled by its thread alone, with the GIL.
 */
#ifndef MEMTRACK_PYTHON_FRAMES_H
#define MEMTRACK_PYTHON_FRAMES_H

#include "counters.h"

#define MEMTRACK_PYTHON_DEPTH 64u /* frames read, C's among them */
#define MEMTRACK_PYTHON_RECENT 2048u
#define MEMTRACK_PYTHON_ARENA (512u << 10)
#define MEMTRACK_PYTHON_FRAMES 65536u
#define MEMTRACK_PYTHON_HEADS 32768u
#define MEMTRACK_PYTHON_CODE_HEADS 512u
#define MEMTRACK_PYTHON_LINES 8192u
#define MEMTRACK_PYTHON_DECODERS 512u

struct memtrack_python_layout {
    uint16_t minor;             /* of the version */
    uint16_t thread_id, frames; /* in PyThreadState: the owner; the innermost frame, or what leads to it */
    int16_t frames_next;        /* offset in what `frames` points to, -1: it is the frame itself */
    uint16_t code, back, instruction, owner; /* in a frame; owner 0: there are none that are not Python's */
    uint16_t name, file, first; /* in a code object: names, and where its instructions begin (0: by number) */
    uint16_t ascii, compact;    /* header bytes of strings */
    uint16_t first_line, lines; /* in a code object: the number, and the table of lines */
};
#define MEMTRACK_PYTHON_FIRST 8u /* 3.8 */
static const struct memtrack_python_layout memtrack_python_layouts[] = {
    {8, 176, 24, -1, 32, 24, 104, 0, 112, 104, 0, 48, 72, 40, 120},
    {9, 176, 24, -1, 32, 24, 104, 0, 112, 104, 0, 48, 72, 40, 120},
    {10, 176, 24, -1, 32, 24, 96, 0, 112, 104, 0, 48, 72, 40, 120},
    {11, 152, 56, 8, 32, 48, 56, 0, 128, 112, 184, 48, 72, 72, 136},
    {12, 136, 56, 0, 0, 8, 56, 70, 128, 112, 192, 40, 56, 68, 136},
    {13, 152, 72, -1, 0, 8, 56, 70, 128, 112, 200, 40, 56, 68, 136},
};

struct memtrack_python_stack {
    struct memtrack_counters *counters;
    uint64_t in_slot; /* what the live map's slot of a block of at most 512 bytes says beside its size */
    uint32_t cell;
    uint32_t size_class;
    uint32_t count;  /* words */
    uint64_t word[]; /* innermost first, and one of these after the last */
};
#define MEMTRACK_PYTHON_END UINT64_C(1) /* no word of a frame, nor is the next number */
#define MEMTRACK_PYTHON_CUT UINT64_C(2) /* there are more frames further out */

#define MEMTRACK_PYTHON_FRAME_CUT 1u /* stands for what the depth limit cut off */
struct memtrack_python_frame {
    uint64_t word;         /* 0: dead */
    uint32_t parent;       /* frame further out; 0 none, or MEMTRACK_PYTHON_FRAME_CUT */
    uint32_t node;         /* of the path in the region; 0: frames of C code alone so far */
    uint32_t next;         /* older frame of the same head, 0 none */
    uint32_t next_of_code; /* the same by code object */
};

/* How far the line table of a code object has been read, see python_lines.c. */
struct memtrack_python_decoder {
    uint64_t code; /* 0: none */
    const uint8_t *next, *end;
    int64_t from, until; /* bytes of code that the entry read last is about */
    int64_t computed;    /* the line so far */
    int64_t line;        /* of that entry; -1: none */
};

/* What a frame's word says. */
struct memtrack_python_line {
    uint64_t word, code;
    uint32_t line;
    uint16_t module;
};

/* The stack that was looked up in the trie last, outermost frame first, see python_path.c. */
struct memtrack_python_path {
    uint32_t length;
    bool is_cut;
    uint64_t at[MEMTRACK_PYTHON_DEPTH]; /* where the frames stood */
    uint64_t word[MEMTRACK_PYTHON_DEPTH];
    uint32_t frame[MEMTRACK_PYTHON_DEPTH]; /* in the trie */
};

struct memtrack_python_cache {
    union {
        struct memtrack_python_stack none; /* of no class; `recent` leads here where it has no stack */
        uint64_t none_words[5];
    };
    const char *own_state;                   /* the interpreter's state of this thread, once it was seen */
    bool has_other_states;                   /* it runs subinterpreters, too */
    uint32_t recent[MEMTRACK_PYTHON_RECENT]; /* offsets of stacks from the start of this */
    uint32_t used;                           /* bytes of the arena */
    uint32_t frames_used;
    struct memtrack_python_path path;
    uint32_t code_heads[MEMTRACK_PYTHON_CODE_HEADS];
    struct memtrack_python_line lines[MEMTRACK_PYTHON_LINES];
    struct memtrack_python_decoder decoders[MEMTRACK_PYTHON_DECODERS];
    uint32_t heads[MEMTRACK_PYTHON_HEADS];
    char arena[MEMTRACK_PYTHON_ARENA] __attribute__((aligned(8)));
    struct memtrack_python_frame frames[MEMTRACK_PYTHON_FRAMES]; /* 0 and 1 are not used */
};

/* The interpreter's function for its present thread state; where no stacks are taken, one that has none. */
extern const char *(*memtrack_python_thread)(void) __attribute__((visibility("hidden")));
/* By a hash of its address: may a block be a code object that was seen on a stack? */
#define MEMTRACK_PYTHON_SEEN_BITS 65536u
extern uint64_t memtrack_python_seen[MEMTRACK_PYTHON_SEEN_BITS / 64] __attribute__((visibility("hidden")));

MEMTRACK_INLINE uint32_t memtrack_python_hash(uint64_t a, uint64_t b, uint32_t size)
{
    return (uint32_t)(((a ^ b << 32 ^ b >> 3) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & (size - 1);
}

#define MEMTRACK_PYTHON_WORD(base, offset) (*(const uint64_t *)(const void *)((const char *)(base) + (offset)))

/* The same of a state that memtrack_python_frame has given a frame of once, on this thread. */
MEMTRACK_INLINE uint64_t memtrack_python_known_frame(const struct memtrack_python_layout *at, const char *thread)
{
    uint64_t frame = MEMTRACK_PYTHON_WORD(thread, at->frames);
    return at->frames_next >= 0 ? MEMTRACK_PYTHON_WORD(frame, at->frames_next) : frame;
}

/* The innermost frame of what memtrack_python_thread said; 0: no Python code runs here, or the thread is not the one
 * whose turn it is. Here and below `at` is known when the code is compiled, so that each hook is made for one version. */
MEMTRACK_INLINE uint64_t memtrack_python_frame(const struct memtrack_python_layout *at, const char *thread)
{
    if (MEMTRACK_UNLIKELY(!thread) || MEMTRACK_UNLIKELY(MEMTRACK_PYTHON_WORD(thread, at->thread_id) !=
                                                        (uintptr_t)__builtin_thread_pointer())) /* pthread_self() */
        return 0;
    uint64_t frame = MEMTRACK_PYTHON_WORD(thread, at->frames);
    if (at->frames_next >= 0 && frame)
        frame = MEMTRACK_PYTHON_WORD(frame, at->frames_next);
    return frame;
}

MEMTRACK_INLINE uint64_t memtrack_python_word(const struct memtrack_python_layout *at, uint64_t frame)
{
    if (at->first)
        return MEMTRACK_PYTHON_WORD(frame, at->instruction);
    uint64_t number = *(const uint32_t *)(const void *)((const char *)frame + at->instruction);
    return MEMTRACK_PYTHON_WORD(frame, at->code) | (number + 1) << 48;
}

/* Where `recent` has the stack of a frame, or else at the place beside (place ^ 1). `word` is the frame's, `outer` that of the
 * frame further out, `back`; 0 where there is none. */
MEMTRACK_INLINE uint32_t memtrack_python_place(uint64_t word, uint64_t outer, uint32_t size_class)
{
    return (uint32_t)((word + size_class + outer * 8) * UINT64_C(0x9e3779b97f4a7c15) >> 53);
}
_Static_assert(MEMTRACK_PYTHON_RECENT == 1u << (64 - 53), "the place is the upper bits of a product");

/* NULL: none that is known to be the stack of the frame. */
MEMTRACK_INLINE const struct memtrack_python_stack *memtrack_python_recall(const struct memtrack_python_layout *at,
                                                                           const struct memtrack_python_cache *cache,
                                                                           uint32_t place, uint64_t word, uint64_t back,
                                                                           uint64_t outer, uint32_t size_class)
{
    const struct memtrack_python_stack *stack = (const void *)((const char *)cache + cache->recent[place]);
    if (MEMTRACK_UNLIKELY(stack->size_class != size_class) || MEMTRACK_UNLIKELY(stack->word[0] != word))
        return NULL;
    const uint64_t *next = stack->word + 1;
    if (!back)
        return MEMTRACK_LIKELY(*next == MEMTRACK_PYTHON_END) ? stack : NULL;
    if (MEMTRACK_UNLIKELY(outer != *next))
        return *next == MEMTRACK_PYTHON_CUT ? stack : NULL;
    for (;;) {
#pragma GCC unroll 4
        for (int i = 1; i <= 4; i++) {
            back = MEMTRACK_PYTHON_WORD(back, at->back);
            if (!back)
                return MEMTRACK_LIKELY(next[i] == MEMTRACK_PYTHON_END) ? stack : NULL;
            if (MEMTRACK_UNLIKELY(memtrack_python_word(at, back) != next[i]))
                return next[i] == MEMTRACK_PYTHON_CUT ? stack : NULL;
        }
        next += 4;
    }
}

/* One step of a block's free: false where it is certainly no code object that was seen. */
MEMTRACK_INLINE bool memtrack_python_may_be_code(uint64_t block)
{
    uint32_t hash = memtrack_python_hash(block >> 4, 0, MEMTRACK_PYTHON_SEEN_BITS);
    return MEMTRACK_LOAD(&memtrack_python_seen[hash / 64]) >> hash % 64 & 1;
}

/* python_native.c: in the constructor; the node of a native stack, as far as the interpreter's loop, on top of a frame of
 * Python's. 0: the loop is not in it, or there is no room. */
void memtrack_python_native(void);
uint32_t memtrack_python_on_top(struct memtrack_thread *thread, uint32_t stack, const struct memtrack_python_frame *outer);

/* python_path.c: the present stack's place in the trie, by its innermost frame; it is the path then. 0: it cannot be recorded. There
 * must be room for DEPTH frames. */
uint32_t memtrack_python_find_frame(const struct memtrack_python_layout *at, struct memtrack_thread *thread,
                                    struct memtrack_python_cache *cache, uint64_t innermost);

/* python_names.c */
uint16_t memtrack_python_module(const struct memtrack_python_layout *at, uint64_t code); /* MEMTRACK_MODULE_NONE: no room */
bool memtrack_python_is_known_code(uint64_t code);
void memtrack_python_forget_code(uint64_t code);
void memtrack_python_names_after_fork(void);

/* python_lines.c: NULL where the module cannot be recorded */
const struct memtrack_python_line *memtrack_python_line(const struct memtrack_python_layout *at,
                                                        struct memtrack_python_cache *cache, uint64_t word,
                                                        uint64_t code);
void memtrack_python_forget_lines(struct memtrack_python_cache *cache, uint64_t code);

#endif
