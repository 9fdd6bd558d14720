/* SPDX-License-Identifier: Apache-2.0
 *
 * From the frames of a stack to the id of its innermost node: the trie of call stacks.
 *
 * DATA MODEL. The nodes that a new stack needs are numbered in one RUN, from the outermost inwards, so that each is the
 * child of the one before it. A look-up therefore first compares the record behind the parent's, which needs no table; only
 * the first node of a run stands in one (intern.h), and the one that begins a chunk of records, so that nobody looks across
 * the end of a chunk. A stack that shares its outer half with another costs one slot, however deep it is.
 *
 * Of ten frames that a walk of a compiler has not joined, five stand behind their callers' records, four are made, and one is
 * looked up.
 */
#include "intern.h"
#include "walk.h"

#define MEMTRACK_MOST_NODES (MEMTRACK_NODE_CHUNKS * MEMTRACK_NODES_PER_CHUNK)

static struct memtrack_intern_table *nodes;

/* Of an id that was handed out: its chunk is there. */
MEMTRACK_INLINE struct memtrack_node *record_of(uint32_t id)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t page = MEMTRACK_LOAD(&memtrack_directory(region, id / MEMTRACK_NODES_PER_CHUNK)->nodes);
    return (struct memtrack_node *)memtrack_page_of(region, page) + id % MEMTRACK_NODES_PER_CHUNK;
}

const struct memtrack_node *memtrack_node(uint32_t id)
{
    return record_of(id);
}

static struct memtrack_node *record_made(struct memtrack_header *region, uint32_t id)
{
    struct memtrack_node *chunk = NULL;
    if (id < MEMTRACK_MOST_NODES)
        chunk = memtrack_region_chunk(region, id / MEMTRACK_NODES_PER_CHUNK, MEMTRACK_ENTRY(nodes));
    return chunk ? chunk + id % MEMTRACK_NODES_PER_CHUNK : NULL;
}

MEMTRACK_INLINE bool begins_chunk(uint32_t id)
{
    return id % MEMTRACK_NODES_PER_CHUNK == 0;
}

MEMTRACK_INLINE bool is_child(const struct memtrack_node *node, uint32_t parent, const struct memtrack_frame *frame,
                              uint32_t flags)
{
    return MEMTRACK_LOAD_ACQUIRE(&node->module_index) == frame->module && node->address == frame->ip &&
           node->parent == parent && node->flags == flags;
}

/* The part of the hash that stands in the table and places the slot. */
MEMTRACK_INLINE uint32_t tag_of(uint32_t parent, const struct memtrack_frame *frame)
{
    uint64_t key = frame->ip ^ (uint64_t)frame->module << 48 ^ (uint64_t)frame->flags << 44;
    uint64_t hash = (key + parent * UINT64_C(0xd6e8feb86659fd93)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 32) ^ (uint32_t)hash;
}

/* The child that a table has; 0 if none. */
static uint32_t find(const struct memtrack_intern_table *table, uint32_t parent, const struct memtrack_frame *frame,
                     uint32_t flags)
{
    uint32_t hash = tag_of(parent, frame);
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&table->slots[at]);
        if (slot == 0)
            return 0;
        if (slot >> 32 == hash && is_child(record_of((uint32_t)slot), parent, frame, flags))
            return (uint32_t)slot;
    }
}

MEMTRACK_INLINE uint32_t flags_of(const struct memtrack_walk *walk, uint32_t i, uint32_t end)
{
    return walk->frame[i].flags | (i + 1 == walk->count ? end : 0);
}

void memtrack_nodes_expect(uint32_t parent, const struct memtrack_frame *frame)
{
    const struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&nodes);
    if (MEMTRACK_LIKELY(table != NULL))
        __builtin_prefetch(&table->slots[tag_of(parent, frame) & table->mask]);
}

/* So that it is found; in the table of the region it is in. A handler may have forked meanwhile, and the child has another
 * region, or none. */
static void put(const struct memtrack_header *region, uint32_t parent, const struct memtrack_frame *frame, uint32_t id)
{
    struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&nodes);
    if (MEMTRACK_LIKELY(table && MEMTRACK_LOAD(&memtrack_rt.region) == region))
        memtrack_intern_put(table, (uint64_t)tag_of(parent, frame) << 32 | id);
}

/* Makes a run of nodes for frames [0, count), below `parent`. The id of the innermost; 0 where there is no room. */
static MEMTRACK_COLD uint32_t append(struct memtrack_walk *walk, uint32_t count, uint32_t parent, uint32_t end)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t next = MEMTRACK_LOAD(&region->node_next);
    if (next >= MEMTRACK_MOST_NODES || MEMTRACK_MOST_NODES - next < count || parent >= next)
        return 0; /* full; or a handler has forked, and the parent is one of another region */
    /* Room first: ids taken in vain would stay taken, call after call. */
    struct memtrack_node *node = record_made(region, next);
    uint32_t last = next + count - 1;
    if (!node || (last / MEMTRACK_NODES_PER_CHUNK != next / MEMTRACK_NODES_PER_CHUNK && !record_made(region, last)) ||
        !memtrack_intern_with_room(&nodes))
        return 0;
    uint32_t id = MEMTRACK_ADD(&region->node_next, count), first = id, above = parent;
    for (uint32_t i = count; i-- > 0; parent = id++, node++) {
        struct memtrack_frame *frame = &walk->frame[i];
        if (MEMTRACK_UNLIKELY(begins_chunk(id) || (id == first && id != next)))
            node = record_made(region, id);
        if (!node)
            return 0;
        uint32_t flags = flags_of(walk, i, end);
        node->address = frame->ip;
        node->parent = parent;
        node->flags = (uint16_t)flags;
        MEMTRACK_STORE_RELEASE(&node->module_index, frame->module);
        frame->node = id;
        if (MEMTRACK_UNLIKELY(begins_chunk(id) && id != first))
            put(region, parent, frame, id);
        if (flags & MEMTRACK_NODE_TRUNCATED)
            MEMTRACK_ADD(&region->health.truncated_stacks, 1);
        if (flags & MEMTRACK_NODE_INCOMPLETE)
            MEMTRACK_ADD(&region->health.incomplete_stacks, 1);
    }
    /* The whole run is there before anyone can find it. */
    put(region, above, &walk->frame[count - 1], first);
    return parent;
}

/* Ids for frames [0, from) of a walk, from the outermost of them inwards; those further out have theirs. `end` are flags
 * of the outermost frame of the stack. Returns the id of the innermost, 0 where the trie is full. */
uint32_t memtrack_nodes(struct memtrack_walk *walk, uint32_t from, uint32_t end)
{
    const struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&nodes);
    uint32_t node = from < walk->count ? walk->frame[from].node : 0;
    const struct memtrack_node *record = node ? record_of(node) : NULL;
    for (uint32_t i = from; i-- > 0;) {
        struct memtrack_frame *frame = &walk->frame[i];
        uint32_t flags = flags_of(walk, i, end);
        if (record && !begins_chunk(node + 1) && is_child(record + 1, node, frame, flags)) {
            frame->node = ++node;
            record++;
            continue;
        }
        uint32_t found = MEMTRACK_LIKELY(table != NULL) ? find(table, node, frame, flags) : 0;
        if (!found)
            return append(walk, i + 1, node, end);
        frame->node = node = found;
        record = record_of(found);
    }
    return node;
}

void memtrack_nodes_after_fork(void)
{
    nodes = NULL;
}
