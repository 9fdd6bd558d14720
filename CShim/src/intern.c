/* SPDX-License-Identifier: Apache-2.0
 *
 * The two tables that give dense ids: (parent, frame) -> node and (stack, class) -> cell.
 *
 * DATA MODEL. A chain of open-addressing tables in private memory, each twice as large as the one before.
 * Look-ups go from the newest to the oldest; new keys go into the newest. A slot is taken by a
 * compare-and-swap of its id from FREE to BUSY, filled, and published by storing the id. No lock: two threads
 * that insert the same key at the same moment may make two ids for it. That is allowed; readers merge by content.
 * A slot left BUSY by a thread that died or forked away is dead weight, nothing more.
 */
#include "runtime.h"

#define MEMTRACK_SLOT_FREE 0u
#define MEMTRACK_SLOT_BUSY UINT32_MAX
#define MEMTRACK_TABLES 14u
#define MEMTRACK_FIRST_SLOTS 1024u

struct memtrack_slot {
    uint64_t key1;
    uint32_t key2;
    uint32_t id;
};

struct memtrack_intern_table {
    struct memtrack_slot *slots[MEMTRACK_TABLES]; /* [n] has MEMTRACK_FIRST_SLOTS << n slots */
    uint32_t used[MEMTRACK_TABLES];
    uint32_t newest;
};

static struct memtrack_intern_table nodes, cells;

MEMTRACK_INLINE uint64_t mix(uint64_t key1, uint32_t key2)
{
    uint64_t h = (key1 ^ ((uint64_t)key2 << 37)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    h *= UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ (h >> 32);
}

static struct memtrack_slot *table_slots(struct memtrack_intern_table *table, uint32_t n)
{
    struct memtrack_slot *slots = MEMTRACK_LOAD_ACQUIRE(&table->slots[n]);
    if (slots)
        return slots;
    struct memtrack_slot *fresh = memtrack_map_private(sizeof(*fresh) * ((size_t)MEMTRACK_FIRST_SLOTS << n));
    if (!fresh)
        return NULL;
    if (__atomic_compare_exchange_n(&table->slots[n], &slots, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    return slots; /* another thread was first; ours stays mapped and untouched: it costs address space alone */
}

static uint32_t find(struct memtrack_intern_table *table, uint64_t hash, uint64_t key1, uint32_t key2)
{
    for (uint32_t n = MEMTRACK_LOAD_ACQUIRE(&table->newest) + 1; n-- > 0;) {
        struct memtrack_slot *slots = MEMTRACK_LOAD_ACQUIRE(&table->slots[n]);
        if (!slots)
            continue;
        uint64_t mask = ((uint64_t)MEMTRACK_FIRST_SLOTS << n) - 1;
        for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
            uint32_t id = MEMTRACK_LOAD_ACQUIRE(&slots[at].id);
            if (id == MEMTRACK_SLOT_FREE)
                break;
            if (id != MEMTRACK_SLOT_BUSY && slots[at].key1 == key1 && slots[at].key2 == key2)
                return id;
        }
    }
    return 0;
}

/* Claims a slot in the newest table; NULL where there is no memory for one. */
static struct memtrack_slot *claim(struct memtrack_intern_table *table, uint64_t hash)
{
    for (;;) {
        uint32_t n = MEMTRACK_LOAD_ACQUIRE(&table->newest);
        struct memtrack_slot *slots = table_slots(table, n);
        if (!slots)
            return NULL;
        uint64_t size = (uint64_t)MEMTRACK_FIRST_SLOTS << n;
        if (MEMTRACK_ADD(&table->used[n], 1) > size / 2) {
            if (n + 1 >= MEMTRACK_TABLES || !table_slots(table, n + 1))
                return NULL;
            __atomic_compare_exchange_n(&table->newest, &n, n + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
            continue;
        }
        for (uint64_t at = hash & (size - 1);; at = (at + 1) & (size - 1)) {
            uint32_t expected = MEMTRACK_SLOT_FREE;
            if (__atomic_compare_exchange_n(&slots[at].id, &expected, MEMTRACK_SLOT_BUSY, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED))
                return &slots[at];
        }
    }
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

uint32_t memtrack_node(uint32_t parent, uint64_t address, uint32_t module_index, uint32_t flags)
{
    uint64_t key1 = (address << 16) | module_index;
    uint32_t key2 = parent | (flags << 28);
    uint64_t hash = mix(key1, key2);
    uint32_t id = find(&nodes, hash, key1, key2);
    if (MEMTRACK_LIKELY(id))
        return id;

    struct memtrack_header *region = memtrack_rt.region;
    if (!region || region->node_next >= MEMTRACK_NODE_CHUNKS * MEMTRACK_NODES_PER_CHUNK)
        return 0;
    /* A place in the region first: a slot claimed in vain would stay claimed, call after call. */
    uint32_t *directory = memtrack_region_at(MEMTRACK_NODE_DIRECTORY_PAGE);
    if (!chunk_record(directory, MEMTRACK_NODE_CHUNKS, MEMTRACK_LOAD(&region->node_next), MEMTRACK_NODES_PER_CHUNK,
                      sizeof(struct memtrack_node)))
        return 0;
    struct memtrack_slot *slot = claim(&nodes, hash);
    if (!slot)
        return 0;
    id = MEMTRACK_ADD(&region->node_next, 1);
    struct memtrack_node *node =
        chunk_record(directory, MEMTRACK_NODE_CHUNKS, id, MEMTRACK_NODES_PER_CHUNK, sizeof(*node));
    if (!node)
        return 0;
    node->address = address;
    node->parent = parent;
    node->flags = (uint16_t)flags;
    MEMTRACK_STORE_RELEASE(&node->module_index, (uint16_t)module_index);
    slot->key1 = key1;
    slot->key2 = key2;
    MEMTRACK_STORE_RELEASE(&slot->id, id);
    if (flags & MEMTRACK_NODE_TRUNCATED)
        MEMTRACK_ADD(&region->health.truncated_stacks, 1);
    if (flags & MEMTRACK_NODE_INCOMPLETE)
        MEMTRACK_ADD(&region->health.incomplete_stacks, 1);
    return id;
}

__attribute__((force_align_arg_pointer)) uint32_t memtrack_cell(uint32_t stack, uint32_t size_class)
{
    uint64_t key1 = ((uint64_t)stack << 8) | size_class;
    uint64_t hash = mix(key1, 0);
    uint32_t id = find(&cells, hash, key1, 0);
    if (MEMTRACK_LIKELY(id))
        return id;

    struct memtrack_header *region = memtrack_rt.region;
    uint32_t overflow = MEMTRACK_KIND_OVERFLOW * MEMTRACK_CLASSES + size_class;
    if (!stack || !region || region->cell_next >= MEMTRACK_CELL_LIMIT ||
        region->cell_next - memtrack_rt.cell_bias >= MEMTRACK_MAX_COUNTER_INDEX)
        return overflow;
    uint32_t *directory = memtrack_region_at(MEMTRACK_CELL_DIRECTORY_PAGE);
    if (!chunk_record(directory, MEMTRACK_CELL_CHUNKS, MEMTRACK_LOAD(&region->cell_next) - region->cell_base,
                      MEMTRACK_CELLS_PER_CHUNK, sizeof(struct memtrack_cell)))
        return overflow;
    struct memtrack_slot *slot = claim(&cells, hash);
    if (!slot)
        return overflow;
    id = MEMTRACK_ADD(&region->cell_next, 1);
    struct memtrack_cell *cell =
        chunk_record(directory, MEMTRACK_CELL_CHUNKS, id - region->cell_base, MEMTRACK_CELLS_PER_CHUNK,
                     sizeof(*cell));
    if (!cell)
        return overflow;
    cell->size_class = size_class;
    MEMTRACK_STORE_RELEASE(&cell->stack, stack);
    slot->key1 = key1;
    slot->key2 = 0;
    MEMTRACK_STORE_RELEASE(&slot->id, id);
    return id;
}

/* The child numbers its own nodes and cells. The parent's tables stay mapped: a hook that the fork
 * interrupted in a signal handler may still hold a pointer into them. */
void memtrack_intern_after_fork(void)
{
    __builtin_memset(&nodes, 0, sizeof(nodes));
    __builtin_memset(&cells, 0, sizeof(cells));
}
