/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk by pre-decoded rules, and how it joins the one before.
 *
 * JOINING. Two allocations in a row mostly share their outer frames. A walk that reaches the very state (ip, sp, and rbp
 * where that matters) in which the last walk entered some frame would go on as that one did, if all the words that it
 * read from there on are still the same. They are compared, at about a nanosecond each, instead of being unwound and
 * interned again. The first word that differs belongs to some frame further out: up to there the last walk still holds,
 * and the walk goes on by rules from that frame.
 */
#include "walk.h"

struct state {
    uint64_t ip, sp, rbp;
    uint64_t rbp_slot; /* where rbp was read; 0: it is that of the hook's caller */
    bool rbp_noted;    /* the walk depends on it already */
};

/* This frame depends on rbp: so does the walk, on the word that it came from. That word is listed first among the
 * frame's own, where the first frame that uses it stands: the order of a walk's words is the memo's order of decisions. */
static void use_rbp(struct memtrack_walk *walk, struct memtrack_frame *frame, struct state *state)
{
    frame->rbp_use |= MEMTRACK_RBP_USED;
    if (state->rbp_noted)
        return;
    state->rbp_noted = true;
    frame->rbp_use |= MEMTRACK_RBP_LISTED;
    memtrack_walk_depend(walk, state->rbp_slot ? state->rbp_slot : walk->base - 8, state->rbp);
}

/* From the outermost frame inwards: who needs the rbp that a frame was entered with? */
static void mark_rbp_needs(struct memtrack_walk *walk, uint32_t end, bool needed)
{
    for (uint32_t i = end; i-- > 0;) {
        struct memtrack_frame *frame = &walk->frame[i];
        needed = frame->rbp_use & MEMTRACK_RBP_USED || (needed && !(frame->rbp_use & MEMTRACK_RBP_RELOADED));
        frame->rbp_use = (uint8_t)((frame->rbp_use & ~MEMTRACK_RBP_NEEDED) | (needed ? MEMTRACK_RBP_NEEDED : 0));
    }
}

static uint32_t words_end(const struct memtrack_walk *walk, uint32_t frame)
{
    return frame + 1 < walk->count ? walk->frame[frame + 1].first_word : walk->words;
}

/* The first word of a frame that is its own: not the one where an earlier stack had the rbp of frame `from`. */
static uint32_t words_begin(const struct memtrack_walk *walk, uint32_t from, uint32_t frame)
{
    const struct memtrack_frame *f = &walk->frame[frame];
    bool inherited = f->rbp_use & MEMTRACK_RBP_LISTED && f->rbp_slot == walk->frame[from].rbp_slot;
    return f->first_word + (inherited ? 1 : 0);
}

/* Takes over frames [from, to) of the last walk, and the words that they read. As long as rbp is still the one that
 * `from` was entered with, it is now the present state's. */
static void take_over(struct memtrack_walk *walk, const struct memtrack_walk *last, uint32_t from, uint32_t to,
                      struct state *state)
{
    uint64_t inherited_slot = last->frame[from].rbp_slot;
    struct state inherited = *state;
    for (uint32_t i = from; i < to; i++) {
        const struct memtrack_frame *theirs = &last->frame[i];
        struct memtrack_frame *frame = &walk->frame[walk->count++];
        *frame = *theirs;
        frame->first_word = walk->words;
        if (theirs->rbp_slot == inherited_slot) {
            frame->rbp_slot = inherited.rbp_slot;
            frame->rbp = inherited.rbp;
            frame->rbp_use &= (uint8_t)~MEMTRACK_RBP_LISTED;
            if (theirs->rbp_use & MEMTRACK_RBP_USED)
                use_rbp(walk, frame, &inherited);
            state->rbp_noted = inherited.rbp_noted;
        } else if (theirs->rbp_use & MEMTRACK_RBP_USED) {
            state->rbp_noted = true;
        }
        for (uint32_t word = words_begin(last, from, i), end = words_end(last, i); word < end; word++)
            memtrack_walk_depend(walk, last->word_address[word], last->word[word]);
        if (theirs->rbp_use & MEMTRACK_RBP_RELOADED)
            state->rbp_noted = theirs->rbp_use & MEMTRACK_RBP_READ;
    }
}

/* The first frame from `from` on, one of whose words is another now; last->count if none. */
static uint32_t first_changed(const struct memtrack_walk *last, uint32_t from)
{
    for (uint32_t i = from; i < last->count; i++)
        for (uint32_t word = words_begin(last, from, i), end = words_end(last, i); word < end; word++)
            if (*(const uint64_t *)last->word_address[word] != last->word[word])
                return i;
    return last->count;
}

enum joined { JOINED_NOT, JOINED_IN_PART, JOINED_TO_THE_END };

/* Tries to join the last walk at its frame `at`, which was entered in this state. If that holds only up to some frame
 * further out, *state becomes the state in which that one is entered now. */
static enum joined join(struct memtrack_walk *walk, const struct memtrack_walk *last, uint32_t *at,
                        struct state *state, uint32_t depth)
{
    uint32_t from = *at;
    uint32_t to = first_changed(last, from);
    uint32_t room = depth - walk->count;
    bool whole = to == last->count;
    if (whole && last->truncated && to - from < room) {
        whole = false; /* this time the limit lies further out than the last walk went */
        to--;
    }
    bool cut = whole ? to - from > room : to - from >= room;
    if (cut)
        to = from + room;
    uint32_t first = walk->count;
    if (to == from)
        return JOINED_NOT;
    take_over(walk, last, from, to, state);
    if (cut) {
        walk->truncated = true; /* another frame than last time is the outermost: all nodes are others */
        struct memtrack_frame *outermost = &walk->frame[walk->count - 1];
        outermost->rbp_use = 0; /* nothing further out is looked for, so it reads no word */
        walk->words = outermost->first_word;
        return JOINED_TO_THE_END;
    }
    if (whole) {
        walk->known_from = first;
        walk->complete = last->complete;
        walk->truncated = last->truncated;
        return JOINED_TO_THE_END;
    }
    const struct memtrack_frame *next = &last->frame[to];
    if (next->rbp_slot != last->frame[from].rbp_slot) {
        state->rbp_slot = next->rbp_slot;
        state->rbp = *(const uint64_t *)next->rbp_slot; /* not among the words compared if nobody needed it */
        for (uint32_t i = walk->count; i-- > first && walk->frame[i].rbp_slot == state->rbp_slot;)
            walk->frame[i].rbp = state->rbp; /* someone further out may need it from now on */
    }
    state->ip = next->ip;
    state->sp = next->sp;
    *at = to + 1;
    return JOINED_IN_PART;
}

enum advance { ADVANCED, ENDED, STUCK };

/* One frame outwards. `frame` has been recorded for the state. */
static enum advance advance(struct memtrack_thread *thread, struct memtrack_walk *walk, struct memtrack_frame *frame,
                            struct memtrack_rule rule, struct state *state)
{
    if (rule.kind != MEMTRACK_RULE_RSP || rule.flags & MEMTRACK_RULE_RBP_AT_RBP)
        use_rbp(walk, frame, state);
    uint64_t caller, cfa, rbp_slot = 0;
    if (rule.kind == MEMTRACK_RULE_NONE) {
        uint64_t caller_rbp;
        if (!memtrack_walk_frame_pointer(thread, walk, state->ip, state->sp, state->rbp, &caller, &caller_rbp))
            return STUCK;
        cfa = state->rbp + 16;
        frame->rbp_use |= MEMTRACK_RBP_RELOADED | MEMTRACK_RBP_READ;
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

bool memtrack_walk_by_rules(struct memtrack_thread *thread, struct memtrack_walk *walk, const uintptr_t *hook,
                            uint32_t depth)
{
    const struct memtrack_walk *last = thread->last_walk;
    uint32_t joint = walk->foreign ? last->count : 0; /* frames of the last walk before this one cannot be met any more */
    struct state state = {.ip = hook[1], .sp = walk->base + 8, .rbp = hook[0]};
    walk->by_rules = true;
    for (;;) {
        while (joint < last->count && last->frame[joint].sp < state.sp)
            joint++;
        if (joint < last->count && last->frame[joint].sp == state.sp && last->frame[joint].ip == state.ip &&
            (!(last->frame[joint].rbp_use & MEMTRACK_RBP_NEEDED) || last->frame[joint].rbp == state.rbp)) {
            uint32_t before = walk->count;
            uint32_t at = joint;
            switch (join(walk, last, &at, &state, depth)) {
            case JOINED_TO_THE_END:
                mark_rbp_needs(walk, before, last->frame[joint].rbp_use & MEMTRACK_RBP_NEEDED);
                return true;
            case JOINED_IN_PART: joint = at; break;
            case JOINED_NOT: joint++; break;
            }
        }
        struct memtrack_rule rule = memtrack_rule_for(state.ip, false);
        struct memtrack_frame *frame = &walk->frame[walk->count++];
        *frame = (struct memtrack_frame){
            .ip = state.ip,
            .sp = state.sp,
            .rbp = state.rbp,
            .rbp_slot = state.rbp_slot,
            .first_word = walk->words,
            .module = rule.module_index,
        };
        if (rule.kind == MEMTRACK_RULE_FULL || rule.flags & MEMTRACK_RULE_SIGNAL)
            return false;
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
            return true;
        }
    }
}
