/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks: what happens when the memo has no answer. See stacks.h.
 *
 * Memory safety. A walk reads only words of the stack. On the thread's own stack that is [slot of the hook's return
 * address, stack_top); how far down the readable part reaches is learnt page by page, by asking the kernel. On any
 * other stack (coroutines, alternate signal stacks) every page is asked for before it is read, and nothing is
 * memoised. Frames must move towards the top, except across a signal frame.
 *
 * Here: reading, recording, and the two slow ways. The fast one, by rules, is in walk_rules.c.
 */
#include "rules.h"
#include "walk.h"

#define MEMTRACK_PROBE_MOST ((uintptr_t)16 << 20) /* grow the known stack by at most this much at once */
#define MEMTRACK_JIT_NEAR (UINT64_C(256) << 20)   /* code made at run time lies close together */

bool memtrack_on_own_stack(struct memtrack_thread *thread, uintptr_t slot)
{
    if (MEMTRACK_UNLIKELY(!thread->stack_top))
        thread->stack_top = thread->stack_low = memtrack_stack_top(slot);
    if (slot >= thread->stack_top)
        return false;
    if (MEMTRACK_LIKELY(slot >= thread->stack_low))
        return true;
    if (slot <= thread->stack_hole || thread->stack_low - slot > MEMTRACK_PROBE_MOST)
        return false;
    uintptr_t page = slot & ~(uintptr_t)(MEMTRACK_PAGE - 1);
    for (uintptr_t at = page; at < thread->stack_low; at += MEMTRACK_PAGE) {
        if (!memtrack_readable(at)) {
            thread->stack_hole = at + MEMTRACK_PAGE;
            return false;
        }
    }
    thread->stack_low = page;
    return true;
}

bool memtrack_walk_read_foreign(struct memtrack_walk *walk, uint64_t address, uint64_t *value)
{
    if (address & 7)
        return false;
    uintptr_t page = address & ~(uintptr_t)(MEMTRACK_PAGE - 1);
    if (page != walk->checked_page) {
        if (!memtrack_readable(address))
            return false;
        walk->checked_page = page;
    }
    *value = *(const uint64_t *)address;
    return true;
}

/* Is it believable that code at `ip`, which nothing describes, was called from `caller`? */
static bool plausible_caller(uint64_t ip, uint64_t caller)
{
    struct memtrack_object object;
    uint64_t distance = ip > caller ? ip - caller : caller - ip;
    return distance < MEMTRACK_JIT_NEAR || memtrack_object_find(caller - 1, &object);
}

/* A step through code without unwind information: by frame pointer, if what it points to looks like a frame. */
bool memtrack_walk_frame_pointer(struct memtrack_thread *thread, struct memtrack_walk *walk, uint64_t ip, uint64_t sp,
                                 uint64_t rbp, uint64_t *caller, uint64_t *caller_rbp)
{
    if (rbp == 0) { /* the ABI's mark of the outermost frame */
        *caller = *caller_rbp = 0;
        return true;
    }
    if (rbp < sp || !memtrack_walk_read(thread, walk, rbp, caller_rbp) ||
        !memtrack_walk_read(thread, walk, rbp + 8, caller))
        return false;
    memtrack_walk_depend(walk, rbp, *caller_rbp);
    memtrack_walk_depend(walk, rbp + 8, *caller);
    return *caller == 0 || plausible_caller(ip, *caller);
}

static void record(struct memtrack_walk *walk, uint64_t address, uint16_t module, bool exact)
{
    struct memtrack_frame *frame = &walk->frame[walk->count++];
    frame->ip = address;
    frame->module = module;
    frame->flags = exact ? MEMTRACK_NODE_SIGNAL : 0;
}

struct full_walk {
    struct memtrack_thread *thread;
    struct memtrack_walk *walk;
    uintptr_t own_frames; /* lowest address of the shim's own frames */
    bool outside;         /* past the hook */
};

static bool full_walk_read(void *context, uint64_t address, uint64_t *value)
{
    struct full_walk *full = context;
    struct memtrack_walk *walk = full->walk;
    if (address >= full->own_frames && address < walk->base && !(address & 7)) {
        *value = *(const uint64_t *)address; /* our own frames: a register of the hook's caller, saved there */
        if (full->outside)
            walk->no_memo = true;
        return true;
    }
    if (!memtrack_walk_read(full->thread, walk, address, value))
        return false;
    memtrack_walk_depend(walk, address, *value);
    return true;
}

/* Walks with the full unwinder, starting in this very function so that the callee-saved registers of the hook's caller
 * are found where the shim's own frames saved them. */
static __attribute__((noinline)) void walk_in_full(struct memtrack_thread *thread, struct memtrack_walk *walk,
                                                   const uintptr_t *frame, uint32_t depth)
{
    struct memtrack_cursor cursor;
    memtrack_cursor_capture(&cursor);
    struct full_walk full = {thread, walk, (uintptr_t)cursor.reg[7], false};
    for (int i = 0; cursor.reg[7] < walk->base + 8; i++)
        if (i == 16 || memtrack_cursor_step(&cursor, full_walk_read, &full) != MEMTRACK_STEP_OK)
            return;
    if (cursor.reg[7] != walk->base + 8 || cursor.reg[16] != frame[1])
        return;
    full.outside = true;
    walk->count = 0;
    walk->end_word = walk->first_word;
    walk->no_memo = walk->foreign;
    memtrack_walk_depend(walk, walk->base - 8, frame[0]); /* the hook's saved rbp */
    cursor.reg[6] = frame[0];
    cursor.known |= 1u << 6;
    cursor.saved &= ~(1u << 6);
    cursor.entry = cursor.known;
    cursor.depends_on_entry = false;
    cursor.lazy_rbp = true;

    for (;;) {
        uint64_t ip = cursor.reg[16], sp = cursor.reg[7];
        record(walk, ip, MEMTRACK_PACKED_MODULE(memtrack_rule_packed(ip, cursor.exact_pc)), cursor.exact_pc);
        bool last = walk->count == depth;
        enum memtrack_step step = memtrack_cursor_step(&cursor, full_walk_read, &full);
        if (step == MEMTRACK_STEP_END) {
            walk->complete = true;
            break;
        }
        if (last) {
            walk->truncated = true;
            break;
        }
        if (step == MEMTRACK_STEP_NO_CFI) {
            uint64_t rbp, caller, caller_rbp;
            if (!memtrack_cursor_register(&cursor, 6, full_walk_read, &full, &rbp) ||
                !memtrack_walk_frame_pointer(thread, walk, ip, sp, rbp, &caller, &caller_rbp))
                break;
            cursor.reg[16] = caller;
            cursor.reg[7] = rbp + 16;
            cursor.reg[6] = caller_rbp;
            cursor.known = 1u << 16 | 1u << 7 | 1u << 6;
            cursor.entry = cursor.saved = 0;
            cursor.exact_pc = false;
        } else if (step == MEMTRACK_STEP_FAILED) {
            break;
        }
        if (cursor.reg[16] == 0) {
            walk->complete = true;
            break;
        }
        if (cursor.reg[7] <= sp) {
            if (!cursor.exact_pc)
                break;
            walk->foreign = walk->no_memo = true; /* a signal handler on another stack than the code it interrupted */
        }
    }
    walk->no_memo |= cursor.depends_on_entry;
}

static void walk_with_libunwind(struct memtrack_walk *walk, const uintptr_t *frame, uint32_t depth)
{
    uint64_t address[MEMTRACK_MAX_DEPTH];
    uint32_t count = memtrack_libunwind_walk(frame, address, depth);
    walk->no_memo = true;
    if (!count) {
        address[0] = frame[1];
        count = 1;
    } else {
        walk->complete = count < depth;
        walk->truncated = count == depth;
    }
    for (uint32_t i = 0; i < count; i++)
        record(walk, address[i], MEMTRACK_PACKED_MODULE(memtrack_rule_packed(address[i], false)), false);
}

/* Interns the path of a walk, as far as it is not known; 0 where the trie is full. */
static uint32_t intern(struct memtrack_walk *walk)
{
    uint32_t end = walk->truncated ? MEMTRACK_NODE_TRUNCATED : walk->complete ? 0 : MEMTRACK_NODE_INCOMPLETE;
    uint32_t node = memtrack_nodes(walk, walk->known_from < walk->count ? walk->known_from : walk->count, end);
    if (!node)
        MEMTRACK_HEALTH(overflow_nodes, 1);
    return node;
}

/* Starts the thread's walk at a hook's frame. */
static struct memtrack_walk *begin(struct memtrack_thread *thread, const uintptr_t *frame)
{
    struct memtrack_walk *walk = thread->walk;
    memtrack_walk_begin(walk);
    walk->base = (uintptr_t)&frame[1];
    walk->foreign = walk->no_memo = !memtrack_on_own_stack(thread, walk->base);
    return walk;
}

static struct memtrack_walk *take_stack(struct memtrack_thread *thread, const uintptr_t *frame)
{
    uint32_t depth = memtrack_rt.stack_depth;
    struct memtrack_walk *walk = begin(thread, frame);
    if (walk->foreign)
        MEMTRACK_HEALTH(foreign_stacks, 1);
    if (memtrack_rt.unwinder == MEMTRACK_UNWINDER_CALL_SITE) {
        record(walk, frame[1], MEMTRACK_PACKED_MODULE(memtrack_rule_packed(frame[1], false)), false);
        walk->complete = true; /* one frame is all that was asked for */
        walk->base = 0;
        walk->no_memo = false;
    } else if (memtrack_rt.unwinder == MEMTRACK_UNWINDER_LIBUNWIND) {
        walk_with_libunwind(walk, frame, depth);
    } else {
        struct memtrack_walk *by_rules = memtrack_walk_by_rules(thread, frame, depth);
        if (by_rules)
            return by_rules;
        if (MEMTRACK_LIKELY(thread->bank != NULL))
            MEMTRACK_STORE(&thread->bank->full_walks, thread->bank->full_walks + 1);
        walk = begin(thread, frame);
        walk_in_full(thread, walk, frame, depth);
        if (!walk->count) {
            record(walk, frame[1], MEMTRACK_PACKED_MODULE(memtrack_rule_packed(frame[1], false)), false);
            walk->no_memo = true;
        }
    }
    return walk;
}

MEMTRACK_COLD const struct memtrack_walk *memtrack_stack_miss(struct memtrack_thread *thread, const uintptr_t *frame,
                                                              uint32_t *stack)
{
    if (MEMTRACK_LIKELY(thread->bank != NULL))
        MEMTRACK_STORE(&thread->bank->walks, thread->bank->walks + 1);
    struct memtrack_walk *walk = take_stack(thread, frame);
    *stack = intern(walk);
    bool may_join = walk->by_rules && *stack && !walk->no_memo;
    if (walk == thread->last_walk) { /* which this one has joined */
        if (!may_join)
            walk->count = 0;
    } else if (may_join) {
        thread->walk = thread->last_walk;
        thread->last_walk = walk;
    }
    return walk->no_memo || !*stack ? NULL : walk;
}

MEMTRACK_COLD struct memtrack_memo_entry *memtrack_stack_keep(struct memtrack_thread *thread, const uintptr_t *frame,
                                                              const struct memtrack_walk *walk, uint32_t stack)
{
    struct memtrack_memo_words words = {walk->word + walk->first_word, walk->word_address + walk->first_word,
                                        walk->end_word - walk->first_word};
    return memtrack_memo_insert(thread->memo, frame[1], walk->base, (const uint64_t *)thread->stack_top, stack, words);
}

MEMTRACK_COLD uint32_t memtrack_stack_special(struct memtrack_thread *thread, const uintptr_t *frame)
{
    uintptr_t slot = memtrack_rt.unwinder == MEMTRACK_UNWINDER_CALL_SITE ? 0 : (uintptr_t)&frame[1];
    struct memtrack_memo_entry *entry = memtrack_memo_find(thread->memo, frame[1], slot, (const uint64_t *)thread->stack_top);
    uint32_t stack;
    if (entry) {
        stack = entry->stack;
    } else {
        const struct memtrack_walk *walk = memtrack_stack_miss(thread, frame, &stack);
        if (walk)
            memtrack_stack_keep(thread, frame, walk, stack);
    }
    if (memtrack_rt.verify_stacks && stack)
        memtrack_verify(frame, stack);
    return stack;
}
