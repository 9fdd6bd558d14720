/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk by pre-decoded rules, and how it joins the one before.
 *
 * JOINING. Two allocations in a row mostly share their outer frames. A walk that reaches the very state (ip, sp, and rbp
 * where that matters) in which the last walk entered some frame would go on as that one did, if all the words that it
 * read from there on are still the same. They are compared, at less than a nanosecond each, instead of being unwound and
 * interned again. If all are, the frames walked so far replace those of the last walk that lay further in, and nothing
 * that stays is copied. If one is not, the walk goes on by rules, and tries again beyond the frame that read it.
 */
#include "rules.h"
#include "walk.h"

struct state {
    uint64_t ip, sp, rbp;
    uint64_t rbp_slot; /* where rbp was read */
    bool rbp_noted;    /* the walk depends on it already */
};

/* This frame depends on rbp: so does the walk, on the word that it came from. That word is listed first among the
 * frame's own, where the first frame that uses it stands: the order of a walk's words is the memo's order of decisions. */
MEMTRACK_INLINE void use_rbp(struct memtrack_walk *walk, struct memtrack_frame *frame, struct state *state)
{
    frame->rbp_use |= MEMTRACK_RBP_USED;
    if (state->rbp_noted)
        return;
    state->rbp_noted = true;
    frame->rbp_use |= MEMTRACK_RBP_LISTED;
    memtrack_walk_depend(walk, state->rbp_slot, state->rbp);
}

/* From frame `end` inwards: who needs the rbp that a frame was entered with? */
static void mark_rbp_needs(struct memtrack_walk *walk, uint32_t end, bool needed)
{
    for (uint32_t i = end; i-- > 0;) {
        struct memtrack_frame *frame = &walk->frame[i];
        needed = frame->rbp_use & MEMTRACK_RBP_USED || (needed && !(frame->rbp_use & MEMTRACK_RBP_RELOADED));
        frame->rbp_use = (uint8_t)((frame->rbp_use & ~MEMTRACK_RBP_NEEDED) | (needed ? MEMTRACK_RBP_NEEDED : 0));
    }
}

#define NO_WORD UINT32_MAX
#define WALKED_FIRST 8u /* frames that may be copied although fewer are left: to walk on would cost less */

/* The word of the last walk that tells where the rbp of frame `at` came from; NO_WORD if that is a word of a frame further
 * in, or of none. */
static uint32_t rbp_word(const struct memtrack_walk *last, uint32_t at)
{
    uint64_t slot = last->frame[at].rbp_slot;
    for (uint32_t i = at; i < last->count && last->frame[i].rbp_slot == slot; i++)
        if (last->frame[i].rbp_use & MEMTRACK_RBP_LISTED)
            return last->frame[i].first_word;
    return NO_WORD;
}

/* The first word that frames from `at` on have read and that is another one now; end_word if none. */
static uint32_t first_changed(const struct memtrack_walk *last, uint32_t at, uint32_t except)
{
    const uint64_t *address = last->word_address, *value = last->word;
    uint32_t word = last->frame[at].first_word, end = last->end_word;
    while (word < end) {
        for (; end - word >= 4; word += 4) { /* four at a time: half the instructions */
            uint64_t differs = 0;
#pragma GCC unroll 4
            for (uint32_t i = 0; i < 4; i++)
                differs |= *(const uint64_t *)address[word + i] ^ value[word + i];
            if (MEMTRACK_UNLIKELY(differs))
                break;
        }
        for (uint32_t stop = end - word < 4 ? end : word + 4; word < stop; word++)
            if (MEMTRACK_UNLIKELY(*(const uint64_t *)address[word] != value[word]) && word != except)
                return word;
    }
    return end;
}

/* Can the last walk take the frames and words of this one in front of its frame `at`, and go on to any length? */
static bool has_room(const struct memtrack_walk *last, uint32_t at, const struct memtrack_walk *walk)
{
    uint32_t place = (uint32_t)(last->frame + at - last->frames), word = last->frame[at].first_word;
    uint32_t words = walk->end_word - walk->first_word;
    return !walk->no_memo && place >= walk->count && place - walk->count <= MEMTRACK_WALK_FRAMES - MEMTRACK_MAX_DEPTH &&
           word >= words && word - words <= MEMTRACK_WALK_WORDS - MEMTRACK_MEMO_WORDS &&
           last->end_word - (word - words) <= MEMTRACK_MEMO_WORDS;
}

/* The rbp that frame `at` of the last walk was entered with is now the present state's: so it is for all frames to which it
 * was passed on. */
static void pass_on_rbp(struct memtrack_walk *last, uint32_t at, const struct state *state)
{
    uint64_t slot = last->frame[at].rbp_slot;
    bool needed = last->frame[at].rbp_use & MEMTRACK_RBP_NEEDED;
    for (uint32_t i = at; i < last->count && last->frame[i].rbp_slot == slot; i++) {
        struct memtrack_frame *frame = &last->frame[i];
        frame->rbp_slot = state->rbp_slot;
        frame->rbp = state->rbp;
        if (!needed) /* else it was noted as much as it is now */
            frame->rbp_use = (uint8_t)((frame->rbp_use & ~MEMTRACK_RBP_NOTED) |
                                       (state->rbp_noted ? MEMTRACK_RBP_NOTED : 0));
    }
}

/* Puts the frames and words of `walk` in front of frame `at` of the last walk, in the place of what stood there. */
static void put_in_front(struct memtrack_walk *last, uint32_t at, const struct memtrack_walk *walk)
{
    struct memtrack_frame *front = last->frame + at - walk->count;
    uint32_t words = walk->end_word - walk->first_word;
    uint32_t first_word = last->frame[at].first_word - words;
    for (uint32_t i = 0; i < walk->count; i++) {
        front[i] = walk->frame[i];
        front[i].first_word += first_word - walk->first_word;
    }
    for (uint32_t i = 0; i < words; i++) {
        last->word[first_word + i] = walk->word[walk->first_word + i];
        last->word_address[first_word + i] = walk->word_address[walk->first_word + i];
    }
    last->frame = front;
    last->count += walk->count - at;
    last->first_word = first_word;
    last->base = walk->base;
    last->known_from = walk->count;
}

/* The depth limit is the outermost frame's now: nothing further out is looked for, so it reads no word. All nodes are
 * others. */
static void cut(struct memtrack_walk *walk, uint32_t depth)
{
    struct memtrack_frame *outermost = &walk->frame[depth - 1];
    outermost->rbp_use &= MEMTRACK_RBP_NOTED;
    walk->end_word = outermost->first_word;
    walk->count = depth;
    walk->truncated = true;
    walk->complete = false;
    walk->known_from = UINT32_MAX;
    mark_rbp_needs(walk, depth, false);
}

/* This time the limit lies further out than the walk went: its outermost frame is to be walked again, in this state. */
static struct state reopen(struct memtrack_walk *walk)
{
    struct memtrack_frame *outermost = &walk->frame[--walk->count];
    uint64_t slot = outermost->rbp_slot;
    walk->truncated = false;
    walk->known_from = UINT32_MAX;
    return (struct state){outermost->ip, outermost->sp, outermost->rbp, slot,
                          outermost->rbp_use & MEMTRACK_RBP_NOTED};
}

/* No frame further out than that one needed its rbp, so the word was not compared: someone may need it from now on. */
static void read_rbp_again(struct memtrack_walk *last)
{
    uint64_t slot = last->frame[last->count - 1].rbp_slot;
    uint64_t rbp = *(const uint64_t *)slot;
    for (uint32_t i = last->count; i-- > 0 && last->frame[i].rbp_slot == slot;)
        last->frame[i].rbp = rbp;
}

enum joined { JOINED_NOT, JOINED_OPEN, JOINED };

/* Tries to join the last walk at its frame *at, which was entered with this ip and sp. If that is not possible, *at becomes the
 * first frame at which it may be. JOINED_OPEN: `last` is the walk from now on, and goes on in *state. */
static enum joined join(struct memtrack_walk *walk, struct memtrack_walk *last, uint32_t *at, struct state *state,
                        uint32_t depth)
{
    uint32_t from = *at, except = NO_WORD;
    const struct memtrack_frame *frame = &last->frame[from];
    bool is_moved = frame->rbp_slot != state->rbp_slot;
    ++*at;
    if (frame->rbp_use & MEMTRACK_RBP_NEEDED) {
        if (frame->rbp != state->rbp || !!(frame->rbp_use & MEMTRACK_RBP_NOTED) != state->rbp_noted)
            return JOINED_NOT;
        if (is_moved && !state->rbp_noted)
            except = rbp_word(last, from);
    }
    uint32_t changed = first_changed(last, from, except);
    if (changed != last->end_word) {
        while (*at < last->count && last->frame[*at].first_word <= changed)
            ++*at;
        return JOINED_NOT;
    }
    if (walk->count > last->count - from + WALKED_FIRST || !has_room(last, from, walk)) {
        *at = last->count;
        return JOINED_NOT;
    }
    uint32_t count = walk->count + last->count - from;
    bool is_open = last->truncated && count < depth;
    if (is_open && last->frame[last->count - 1].rbp_slot != frame->rbp_slot)
        read_rbp_again(last);
    if (is_moved || is_open)
        pass_on_rbp(last, from, state);
    if (except != NO_WORD)
        last->word_address[except] = state->rbp_slot;
    if (walk->count)
        memtrack_nodes_expect(frame->node, &walk->frame[walk->count - 1]);
    put_in_front(last, from, walk);
    if (is_open) {
        *state = reopen(last);
        return JOINED_OPEN;
    }
    if (count > depth)
        cut(last, depth);
    else
        mark_rbp_needs(last, walk->count, last->frame[walk->count].rbp_use & MEMTRACK_RBP_NEEDED);
    return JOINED;
}

enum advance { ADVANCED, ENDED, STUCK };

/* One frame outwards. `frame` has been recorded for the state. */
MEMTRACK_INLINE enum advance advance(struct memtrack_thread *thread, struct memtrack_walk *walk,
                                     struct memtrack_frame *frame, struct memtrack_rule rule, struct state *state)
{
    if (rule.kind != MEMTRACK_RULE_RSP || rule.flags & MEMTRACK_RULE_RBP_AT_RBP)
        use_rbp(walk, frame, state);
    uint64_t caller, cfa, rbp_slot = 0;
    if (rule.kind == MEMTRACK_RULE_NONE) {
        uint64_t caller_rbp;
        if (!memtrack_walk_frame_pointer(thread, walk, state->ip, state->sp, state->rbp, &caller, &caller_rbp))
            return STUCK;
        cfa = state->rbp + 16;
        frame->rbp_use |= MEMTRACK_RBP_RELOADED;
        state->rbp_slot = state->rbp;
        state->rbp = caller_rbp;
        state->rbp_noted = true;
    } else {
        cfa = (rule.kind == MEMTRACK_RULE_RSP ? state->sp : state->rbp) + (uint64_t)rule.cfa_offset;
        if (rule.kind == MEMTRACK_RULE_RBP_DEREF) {
            uint64_t place = cfa;
            if (!memtrack_walk_read(thread, walk, place, &cfa))
                return STUCK;
            memtrack_walk_depend(walk, place, cfa);
        }
        if (cfa <= state->sp || !memtrack_walk_read(thread, walk, cfa - 8, &caller))
            return STUCK;
        memtrack_walk_depend(walk, cfa - 8, caller);
        if (rule.flags & (MEMTRACK_RULE_RBP_AT_CFA | MEMTRACK_RULE_RBP_AT_RBP)) {
            rbp_slot = (rule.flags & MEMTRACK_RULE_RBP_AT_CFA ? cfa : state->rbp) + (uint64_t)rule.rbp_offset;
            if (!memtrack_walk_read(thread, walk, rbp_slot, &state->rbp))
                return STUCK;
            frame->rbp_use |= MEMTRACK_RBP_RELOADED;
            state->rbp_slot = rbp_slot;
            state->rbp_noted = false;
        }
    }
    state->sp = cfa;
    state->ip = caller;
    return caller == 0 ? ENDED : ADVANCED;
}

/* The same for the commonest rules, where the CFA is rsp and a constant, and rbp is the caller's; or was saved there
 * (`rbp_offset`). False: take the other way. */
MEMTRACK_INLINE bool advance_by_rsp(struct memtrack_thread *thread, struct memtrack_walk *walk, int64_t offset,
                                    struct state *state)
{
    uint64_t caller, cfa = state->sp + (uint64_t)offset;
    if (MEMTRACK_UNLIKELY(cfa <= state->sp || !memtrack_walk_read(thread, walk, cfa - 8, &caller) || !caller))
        return false;
    memtrack_walk_depend(walk, cfa - 8, caller);
    state->sp = cfa;
    state->ip = caller;
    return true;
}

MEMTRACK_INLINE bool advance_with_rbp(struct memtrack_thread *thread, struct memtrack_walk *walk,
                                      struct memtrack_frame *frame, int64_t offset, int64_t rbp_offset,
                                      struct state *state)
{
    uint64_t rbp, rbp_slot = state->sp + (uint64_t)offset + (uint64_t)rbp_offset;
    if (MEMTRACK_UNLIKELY(!memtrack_walk_read(thread, walk, rbp_slot, &rbp)) ||
        !advance_by_rsp(thread, walk, offset, state))
        return false;
    frame->rbp_use |= MEMTRACK_RBP_RELOADED;
    state->rbp = rbp;
    state->rbp_slot = rbp_slot;
    state->rbp_noted = false;
    return true;
}

struct memtrack_walk *memtrack_walk_by_rules(struct memtrack_thread *thread, const uintptr_t *hook, uint32_t depth)
{
    struct memtrack_walk *walk = thread->walk, *last = thread->last_walk;
    const struct memtrack_frame *joint = last->frame; /* those before this one cannot be met any more */
    const struct memtrack_frame *joints = last->frame + (walk->foreign ? 0 : last->count);
    struct state state = {.ip = hook[1], .sp = walk->base + 8, .rbp = hook[0], .rbp_slot = walk->base - 8};
    walk->by_rules = true;
    for (;;) {
        while (joint < joints && joint->sp < state.sp)
            joint++;
        if (joint < joints && joint->sp == state.sp && joint->ip == state.ip) {
            uint32_t at = (uint32_t)(joint - last->frame);
            enum joined joined = join(walk, last, &at, &state, depth);
            if (joined == JOINED)
                return last;
            joint = last->frame + at;
            if (joined == JOINED_OPEN) {
                walk = last;
                joint = joints = NULL;
            }
        }
        uint64_t packed = memtrack_rule_packed(state.ip, false);
        struct memtrack_frame *frame = &walk->frame[walk->count++];
        *frame = (struct memtrack_frame){
            .ip = state.ip,
            .sp = state.sp,
            .rbp = state.rbp,
            .rbp_slot = state.rbp_slot,
            .first_word = walk->end_word,
            .module = MEMTRACK_PACKED_MODULE(packed),
            .rbp_use = state.rbp_noted ? MEMTRACK_RBP_NOTED : 0,
        };
        if (MEMTRACK_LIKELY(walk->count < depth)) {
            uint64_t form = packed & MEMTRACK_PACKED_FORM;
            if (form == MEMTRACK_RULE_RSP) {
                if (advance_by_rsp(thread, walk, MEMTRACK_PACKED_CFA(packed), &state))
                    continue;
            } else if (form == (MEMTRACK_RULE_RSP | MEMTRACK_RULE_RBP_AT_CFA << 3)) {
                if (advance_with_rbp(thread, walk, frame, MEMTRACK_PACKED_CFA(packed), MEMTRACK_PACKED_RBP(packed), &state))
                    continue;
            }
        }
        struct memtrack_rule rule = memtrack_rule_unpack(packed);
        if (rule.kind == MEMTRACK_RULE_FULL || rule.flags & MEMTRACK_RULE_SIGNAL) {
            last->count = walk == last ? 0 : last->count;
            return NULL;
        }
        enum advance result = ENDED;
        walk->complete = rule.kind == MEMTRACK_RULE_END;
        if (!walk->complete) {
            walk->truncated = walk->count == depth;
            if (!walk->truncated) {
                result = advance(thread, walk, frame, rule, &state);
                walk->complete = result == ENDED;
            }
        }
        if (walk->complete || walk->truncated || result == STUCK) {
            mark_rbp_needs(walk, walk->count, false);
            return walk;
        }
    }
}
