/* SPDX-License-Identifier: Apache-2.0
 *
 * The interpreter's chain of frames, and the trie in which each has its place.
 *
 * DATA MODEL. The PATH is the stack that was looked up last, outermost frame first, and where in memory its frames stood. The
 * next one mostly has all of it but the innermost frames. So it is read from the inside out until a frame stands where one of
 * the path does, and is compared with the path from there on, in place. Addresses say only which frame to compare with which: a
 * word that differs, for whatever reason, is looked up in the trie with all that is further in.
 */
#include "python_frames.h"

#define MEMTRACK_OWNED_BY_C 3
#define MEMTRACK_JOIN_NEW 8u /* frames that may have come, */
#define MEMTRACK_JOIN_OLD 8u /* and gone, where the chain is still joined to the path */

MEMTRACK_INLINE bool is_of_c(const struct memtrack_python_layout *at, uint64_t frame)
{
    return at->owner && *((const uint8_t *)frame + at->owner) == MEMTRACK_OWNED_BY_C;
}

/* false: its instruction's number does not fit in a word, or could be taken for one that does not. */
MEMTRACK_INLINE bool read_word(const struct memtrack_python_layout *at, uint64_t frame, uint64_t *word)
{
    *word = memtrack_python_word(at, frame);
    return at->first || *(const uint32_t *)(const void *)((const char *)frame + at->instruction) <= 65534;
}

/* Puts a frame in its place of the path. Where it is another one, no frame further in is known. */
MEMTRACK_INLINE bool read_at(const struct memtrack_python_layout *at, struct memtrack_python_path *path, uint32_t i,
                             uint64_t frame, uint32_t *known)
{
    uint64_t word;
    if (!read_word(at, frame, &word))
        return false;
    path->at[i] = frame;
    if (path->word[i] != word) {
        path->word[i] = word;
        if (i < *known)
            *known = i;
    }
    return true;
}

struct meeting {
    uint64_t frame; /* of the chain, and of the path */
    uint32_t same;  /* frames of the path from the outermost to that one; 0: there is none */
    uint32_t came;  /* frames of the chain further in, innermost first */
    uint64_t fresh[MEMTRACK_JOIN_NEW];
};

static void meet(const struct memtrack_python_layout *at, const struct memtrack_python_path *path, uint32_t length,
                 uint64_t innermost, struct meeting *meeting)
{
    uint32_t least = length > MEMTRACK_JOIN_OLD ? length - MEMTRACK_JOIN_OLD : 0;
    meeting->came = 0;
    for (uint64_t frame = innermost; frame; frame = MEMTRACK_PYTHON_WORD(frame, at->back)) {
        uint32_t same = length;
        while (same > least && path->at[same - 1] != frame)
            same--;
        meeting->frame = frame;
        meeting->same = same > least ? same : 0;
        if (meeting->same)
            return;
        if (meeting->came == MEMTRACK_JOIN_NEW)
            return;
        meeting->fresh[meeting->came++] = frame;
    }
    meeting->same = 0;
}

/* Reads a chain that meets the path. Its length; 0: it does not fit, or cannot be recorded, and the path is spoilt. */
static uint32_t join(const struct memtrack_python_layout *at, struct memtrack_python_path *path, const struct meeting *meeting,
                     uint32_t *known)
{
    uint64_t frame = meeting->frame;
    uint32_t count = meeting->same;
    *known = count;
    for (uint32_t i = count; i-- > 0; frame = MEMTRACK_PYTHON_WORD(frame, at->back))
        if (MEMTRACK_UNLIKELY(!frame) || !read_at(at, path, i, frame, known))
            return 0;
    if (frame)
        return 0;
    for (uint32_t i = meeting->came; i-- > 0; count++)
        if (!read_at(at, path, count, meeting->fresh[i], known))
            return 0;
    return count;
}

/* Reads the chain whatever it is. Its length; 0: it cannot be recorded. */
static uint32_t read_all(const struct memtrack_python_layout *at, struct memtrack_python_path *path, uint32_t length,
                         uint64_t innermost, uint32_t most, uint32_t *known)
{
    uint64_t frames[MEMTRACK_PYTHON_DEPTH], frame = innermost;
    uint32_t count = 0, python = 0;
    for (; frame && count < MEMTRACK_PYTHON_DEPTH && python < most; frame = MEMTRACK_PYTHON_WORD(frame, at->back)) {
        frames[count++] = frame;
        python += !is_of_c(at, frame);
    }
    bool is_cut = frame != 0;
    *known = path->is_cut != is_cut ? 0 : length < count ? length : count;
    path->is_cut = is_cut;
    for (uint32_t i = count; i-- > 0;)
        if (!read_at(at, path, i, frames[count - 1 - i], known))
            return 0;
    return count;
}

/* A new frame: its name and node in the region. 0 where it cannot be recorded. */
static uint32_t add_frame(const struct memtrack_python_layout *at, struct memtrack_thread *thread,
                          struct memtrack_python_cache *cache, uint32_t parent, uint64_t word, uint64_t at_frame, uint32_t *head)
{
    struct memtrack_python_frame *outer = &cache->frames[parent], *frame = &cache->frames[cache->frames_used];
    if (cache->frames_used == MEMTRACK_PYTHON_FRAMES)
        return 0;
    frame->node = outer->node;
    frame->next_of_code = 0;
    if (!is_of_c(at, at_frame)) {
        uint64_t code = MEMTRACK_PYTHON_WORD(at_frame, at->code);
        const struct memtrack_python_line *line = memtrack_python_line(at, cache, word, code);
        if (!line)
            return 0;
        struct memtrack_walk *walk = thread->walk;
        memtrack_walk_begin(walk);
        walk->count = outer->node ? 2 : 1;
        walk->frame[0] = (struct memtrack_frame){.ip = line->line, .module = line->module};
        walk->frame[1] = (struct memtrack_frame){.node = outer->node};
        frame->node = memtrack_nodes(walk, 1, parent == MEMTRACK_PYTHON_FRAME_CUT ? MEMTRACK_NODE_TRUNCATED : 0);
        if (!frame->node)
            return 0;
        uint32_t *of_code = &cache->code_heads[memtrack_python_hash(code >> 4, 0, MEMTRACK_PYTHON_CODE_HEADS)];
        frame->next_of_code = *of_code;
        *of_code = cache->frames_used;
    }
    frame->parent = parent;
    frame->word = word;
    frame->next = *head;
    MEMTRACK_SIGNAL_FENCE(); /* a handler may leave in the midst of this */
    *head = cache->frames_used;
    return cache->frames_used++;
}

uint32_t memtrack_python_find_frame(const struct memtrack_python_layout *at, struct memtrack_thread *thread,
                                    struct memtrack_python_cache *cache, uint64_t innermost)
{
    struct memtrack_python_path *path = &cache->path;
    struct meeting meeting = {.same = 0};
    uint32_t length = path->length, known = 0, count = 0, most = memtrack_rt.stack_depth;
    if (most > MEMTRACK_PYTHON_DEPTH)
        most = MEMTRACK_PYTHON_DEPTH;
    path->length = 0; /* a handler may leave in the midst of this */
    MEMTRACK_SIGNAL_FENCE();
    if (!path->is_cut)
        meet(at, path, length, innermost, &meeting);
    if (meeting.same && meeting.same + meeting.came <= most) {
        count = join(at, path, &meeting, &known);
        length = 0;
    }
    if (!count)
        count = read_all(at, path, length, innermost, most, &known);
    if (!count)
        return 0;
    uint32_t frame = known ? path->frame[known - 1] : path->is_cut ? MEMTRACK_PYTHON_FRAME_CUT : 0;
    for (uint32_t i = known; i < count; i++) {
        uint64_t word = path->word[i];
        uint32_t *head = &cache->heads[memtrack_python_hash(word, frame, MEMTRACK_PYTHON_HEADS)];
        uint32_t found = *head;
        while (found && (cache->frames[found].word != word || cache->frames[found].parent != frame))
            found = cache->frames[found].next;
        frame = found ? found : add_frame(at, thread, cache, frame, word, path->at[i], head);
        if (!frame)
            return 0;
        path->frame[i] = frame;
    }
    MEMTRACK_SIGNAL_FENCE();
    path->length = count;
    return frame;
}
