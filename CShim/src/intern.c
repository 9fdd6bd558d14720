/* SPDX-License-Identifier: Apache-2.0
 *
 * The two tables that give dense ids: (parent, frame) -> node and (stack, class) -> cell.
 *
 * DATA MODEL. Open addressing over 8-byte slots in private memory: 32 bits of hash (which also place the slot) and the id.
 * The key itself stands in the region's record and is compared there, so a match is exact. A new record is
 * written first and then published by one compare-and-swap of its slot. A table that is half full is copied into one of
 * twice the size, which takes its place; the pages of the old one are given back, and read as empty to a thread
 * that still looks there.
 *
 * No lock, and no key is promised one id: two threads that insert at the same moment, or while a table is copied,
 * may make two ids for one key. Readers merge by content. An id that lost such a race stays unused.
 *
 * The hash of a node is one of its whole path, not of its parent's id: so the slots of all frames of a stack are known
 * before the first look-up, and are fetched at once instead of one after the other (memtrack_nodes).
 */
#include "stacks.h"

#include <sys/mman.h>

#define MEMTRACK_FIRST_SLOTS UINT64_C(1024)
#define MEMTRACK_MOST_SLOTS (UINT64_C(1) << 23)

/* Lies in front of its slots, in one mapping. The last three fields are those of a copy into a larger table. */
struct memtrack_intern_table {
    uint64_t mask;
    uint64_t used;   /* slots taken, about */
    uint64_t asked;  /* how often more room was asked for */
    uint64_t since;  /* `asked` when a thread last set about copying; 0: none has */
    uint64_t copied; /* slots before this one are in `next` */
    struct memtrack_intern_table *next;
    uint64_t reserved[2];
    uint64_t slots[]; /* hash << 32 | id; 0 empty */
};

static struct memtrack_intern_table *nodes, *cells;

/* At least one slot stays empty, whatever happens: look-ups end there. */
static void put(struct memtrack_intern_table *table, uint64_t slot)
{
    bool placed = false;
    if (MEMTRACK_ADD(&table->used, 1) < table->mask) {
        for (uint64_t at = slot >> 32 & table->mask;; at = (at + 1) & table->mask) {
            uint64_t found = 0;
            placed = __atomic_compare_exchange_n(&table->slots[at], &found, slot, false, __ATOMIC_RELEASE,
                                                 __ATOMIC_RELAXED);
            if (placed || found == slot) /* the same: another copier was here before */
                break;
        }
    }
    if (!placed)
        MEMTRACK_ADD(&table->used, -UINT64_C(1));
}

static bool is_full(const struct memtrack_intern_table *table)
{
    return MEMTRACK_LOAD(&table->used) > table->mask - table->mask / 8;
}

static size_t table_bytes(uint64_t slots)
{
    return sizeof(struct memtrack_intern_table) + slots * sizeof(uint64_t);
}

static struct memtrack_intern_table *make_table(struct memtrack_intern_table **place, uint64_t slots)
{
    struct memtrack_intern_table *expected = NULL, *table = memtrack_map_private(table_bytes(slots));
    if (!table)
        return NULL;
    table->mask = slots - 1;
    if (__atomic_compare_exchange_n(place, &expected, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return table;
    memtrack_unmap_private(table, table_bytes(slots));
    return expected;
}

/* Puts a table of twice the size in the place of `old`, unless that is not possible or another thread is at it.
 *
 * That thread may never come back: a signal handler may have left it by longjmp, or it ended. So nobody holds a lock.
 * After some more calls for room, and at once where stacks would be lost otherwise, another one goes on where the
 * copy stands; should several be at it, all do the same. */
static MEMTRACK_COLD void grow(struct memtrack_intern_table **place, struct memtrack_intern_table *old)
{
    if (!old) {
        make_table(place, MEMTRACK_FIRST_SLOTS);
        return;
    }
    uint64_t slots = old->mask + 1;
    uint64_t asked = MEMTRACK_ADD(&old->asked, 1) + 1;
    uint64_t since = MEMTRACK_LOAD(&old->since);
    if (slots >= MEMTRACK_MOST_SLOTS)
        return;
    if (!is_full(old) &&
        ((since && asked - since < slots / 16) ||
         !__atomic_compare_exchange_n(&old->since, &since, asked, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)))
        return;
    struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&old->next);
    if (!table && !(table = make_table(&old->next, slots * 2)))
        return;
    for (uint64_t i = MEMTRACK_LOAD_ACQUIRE(&old->copied); i < slots; i++) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&old->slots[i]);
        if (slot)
            put(table, slot);
        MEMTRACK_STORE_RELEASE(&old->copied, i + 1);
    }
    size_t bytes = table_bytes(slots);
    if (__atomic_compare_exchange_n(place, &old, table, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
        bytes > MEMTRACK_PAGE) /* the first page stays: the mask is in it */
        memtrack_sys3(SYS_madvise, (char *)old + MEMTRACK_PAGE, bytes - MEMTRACK_PAGE, MADV_DONTNEED);
}

/* The table, with room for one more; NULL where there is none to be had now. */
static struct memtrack_intern_table *table_with_room(struct memtrack_intern_table **place)
{
    struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(place);
    if (MEMTRACK_UNLIKELY(!table || MEMTRACK_LOAD(&table->used) > table->mask / 2)) {
        grow(place, table);
        table = MEMTRACK_LOAD_ACQUIRE(place);
        if (table && is_full(table))
            return NULL; /* it could not grow, and a full table would make every look-up endless */
    }
    return table;
}

/* The record `number` of a chunked table of the region, its chunk made if need be; NULL if refused. */
static void *chunk_record(uint32_t *directory, uint32_t chunks, uint32_t number, uint32_t per_chunk, uint32_t bytes)
{
    uint32_t chunk = number / per_chunk;
    if (chunk >= chunks)
        return NULL;
    uint32_t page = MEMTRACK_LOAD_ACQUIRE(&directory[chunk]);
    if (!page) {
        uint32_t fresh = memtrack_region_take(per_chunk * bytes / MEMTRACK_PAGE);
        if (!fresh)
            return NULL;
        if (__atomic_compare_exchange_n(&directory[chunk], &page, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            page = fresh;
    }
    return (char *)memtrack_region_at(page) + (uint64_t)(number % per_chunk) * bytes;
}

/* Of an id that is in a table: its chunk is there. */
MEMTRACK_INLINE struct memtrack_node *node_record(uint32_t id)
{
    const uint32_t *directory = memtrack_region_at(MEMTRACK_NODE_DIRECTORY_PAGE);
    return (struct memtrack_node *)memtrack_region_at(directory[id / MEMTRACK_NODES_PER_CHUNK]) +
           id % MEMTRACK_NODES_PER_CHUNK;
}

MEMTRACK_INLINE struct memtrack_cell *cell_record(uint32_t id)
{
    const uint32_t *directory = memtrack_region_at(MEMTRACK_CELL_DIRECTORY_PAGE);
    uint32_t number = id - memtrack_rt.cell_bias - MEMTRACK_FIRST_CELL;
    return (struct memtrack_cell *)memtrack_region_at(directory[number / MEMTRACK_CELLS_PER_CHUNK]) +
           number % MEMTRACK_CELLS_PER_CHUNK;
}

static MEMTRACK_COLD uint32_t insert_node(uint32_t hash, uint32_t parent, const struct memtrack_frame *frame,
                                          uint32_t flags)
{
    struct memtrack_header *region = memtrack_rt.region;
    if (MEMTRACK_LOAD(&region->node_next) >= MEMTRACK_NODE_CHUNKS * MEMTRACK_NODES_PER_CHUNK)
        return 0;
    /* A place in the region first: room in the table taken in vain would stay taken, call after call. */
    uint32_t *directory = memtrack_region_at(MEMTRACK_NODE_DIRECTORY_PAGE);
    if (!chunk_record(directory, MEMTRACK_NODE_CHUNKS, MEMTRACK_LOAD(&region->node_next), MEMTRACK_NODES_PER_CHUNK,
                      sizeof(struct memtrack_node)))
        return 0;
    struct memtrack_intern_table *table = table_with_room(&nodes);
    if (!table)
        return 0;
    uint32_t id = MEMTRACK_ADD(&region->node_next, 1);
    struct memtrack_node *node =
        chunk_record(directory, MEMTRACK_NODE_CHUNKS, id, MEMTRACK_NODES_PER_CHUNK, sizeof(*node));
    if (!node)
        return 0;
    node->address = frame->ip;
    node->parent = parent;
    node->flags = (uint16_t)flags;
    MEMTRACK_STORE_RELEASE(&node->module_index, frame->module);
    put(table, (uint64_t)hash << 32 | id);
    if (flags & MEMTRACK_NODE_TRUNCATED)
        MEMTRACK_ADD(&region->health.truncated_stacks, 1);
    if (flags & MEMTRACK_NODE_INCOMPLETE)
        MEMTRACK_ADD(&region->health.incomplete_stacks, 1);
    return id;
}

static uint32_t find_node(const struct memtrack_intern_table *table, uint32_t hash, uint32_t parent,
                          const struct memtrack_frame *frame, uint32_t flags)
{
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&table->slots[at]);
        if (slot == 0)
            return 0;
        if (slot >> 32 != hash)
            continue;
        const struct memtrack_node *node = node_record((uint32_t)slot);
        if (node->address == frame->ip && node->parent == parent && node->module_index == frame->module &&
            node->flags == flags)
            return (uint32_t)slot;
    }
}

/* Ids for frames [0, from) of a walk, from the outermost of them inwards; those further out have theirs. `end` are flags
 * of the outermost frame of the stack. Returns the id of the innermost, 0 where the trie is full. */
uint32_t memtrack_nodes(struct memtrack_walk *walk, uint32_t from, uint32_t end)
{
    const struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&nodes);
    uint64_t hash = from < walk->count ? walk->frame[from].hash : 0;
    uint32_t node = from < walk->count ? walk->frame[from].node : 0;
    for (uint32_t i = from; i-- > 0;) {
        struct memtrack_frame *frame = &walk->frame[i];
        uint64_t key = frame->ip ^ (uint64_t)frame->module << 48 ^ (uint64_t)frame->flags << 44;
        hash = ((hash << 7 | hash >> 57) ^ key) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
        frame->hash = hash;
        if (MEMTRACK_LIKELY(table != NULL))
            __builtin_prefetch(&table->slots[hash & table->mask]);
    }
    for (uint32_t i = from; table && i-- > 0;) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&table->slots[walk->frame[i].hash & table->mask]);
        if (slot >> 32 == (uint32_t)walk->frame[i].hash)
            __builtin_prefetch(node_record((uint32_t)slot));
    }
    for (uint32_t i = from; i-- > 0;) {
        struct memtrack_frame *frame = &walk->frame[i];
        uint32_t flags = frame->flags | (i + 1 == walk->count ? end : 0);
        uint32_t tag = (uint32_t)frame->hash;
        uint32_t id = MEMTRACK_LIKELY(table != NULL) ? find_node(table, tag, node, frame, flags) : 0;
        if (!id) {
            id = insert_node(tag, node, frame, flags);
            table = MEMTRACK_LOAD_ACQUIRE(&nodes);
        }
        if (!id)
            return 0;
        frame->node = node = id;
    }
    return node;
}

static uint32_t insert_cell(uint32_t hash, uint32_t stack, uint32_t size_class)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t next = MEMTRACK_LOAD(&region->cell_next);
    if (!stack || next >= MEMTRACK_CELL_LIMIT || next - memtrack_rt.cell_bias >= MEMTRACK_MAX_COUNTER_INDEX)
        return 0;
    uint32_t *directory = memtrack_region_at(MEMTRACK_CELL_DIRECTORY_PAGE);
    if (!chunk_record(directory, MEMTRACK_CELL_CHUNKS, next - region->cell_base, MEMTRACK_CELLS_PER_CHUNK,
                      sizeof(struct memtrack_cell)))
        return 0;
    struct memtrack_intern_table *table = table_with_room(&cells);
    if (!table)
        return 0;
    uint32_t id = MEMTRACK_ADD(&region->cell_next, 1);
    struct memtrack_cell *cell =
        chunk_record(directory, MEMTRACK_CELL_CHUNKS, id - region->cell_base, MEMTRACK_CELLS_PER_CHUNK,
                     sizeof(*cell));
    if (!cell)
        return 0;
    cell->size_class = size_class;
    MEMTRACK_STORE_RELEASE(&cell->stack, stack);
    put(table, (uint64_t)hash << 32 | id);
    return id;
}

uint32_t memtrack_cell(uint32_t stack, uint32_t size_class)
{
    uint32_t hash = (uint32_t)(((uint64_t)stack << 8 | size_class) * UINT64_C(0x9e3779b97f4a7c15) >> 31);
    const struct memtrack_intern_table *table = MEMTRACK_LOAD_ACQUIRE(&cells);
    for (uint64_t at = table ? hash & table->mask : 0; table; at = (at + 1) & table->mask) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&table->slots[at]);
        if (slot == 0)
            break;
        if (slot >> 32 != hash)
            continue;
        const struct memtrack_cell *cell = cell_record((uint32_t)slot);
        if (cell->stack == stack && cell->size_class == size_class)
            return (uint32_t)slot;
    }
    uint32_t id = insert_cell(hash, stack, size_class);
    return id ? id : MEMTRACK_KIND_OVERFLOW * MEMTRACK_CLASSES + size_class;
}

/* The child numbers its own nodes and cells. The parent's tables stay mapped: a hook that the fork
 * interrupted in a signal handler may still hold a pointer into them. */
void memtrack_intern_after_fork(void)
{
    nodes = cells = NULL;
}
