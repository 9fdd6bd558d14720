/* SPDX-License-Identifier: Apache-2.0
 *
 * Making the live map's tables, and the side table for blocks that start 8 bytes apart. See livemap.h.
 *
 * The side table is open addressing over pairs (address, block), indexed by address so that neighbours share
 * pages. A key belongs to whoever owns the block; a key is claimed by compare-and-swap and given back as a
 * tombstone, which the next claim may use. Nothing waits for anything.
 */
#include "livemap.h"

#define MEMTRACK_SIDE_PROBES 64u
#define MEMTRACK_SIDE_TOMBSTONE 1u

uint32_t **memtrack_livemap_root;
static struct memtrack_side_entry *side;

bool memtrack_livemap_create(void)
{
    if (!memtrack_livemap_root)
        memtrack_livemap_root = memtrack_map_private(MEMTRACK_LIVEMAP_ROOT_ENTRIES * sizeof(uint32_t *));
    if (!side && memtrack_rt.allocator_unit_shift == 4)
        side = memtrack_map_private(MEMTRACK_SIDE_SLOTS * sizeof(struct memtrack_side_entry));
    return memtrack_livemap_root != NULL;
}

void memtrack_livemap_publish(struct memtrack_header *header)
{
    header->livemap_root = (uint64_t)(uintptr_t)memtrack_livemap_root;
    header->livemap_side = (uint64_t)(uintptr_t)side;
}

MEMTRACK_COLD uint32_t *memtrack_livemap_chunk(uintptr_t address)
{
    uint32_t **place = &memtrack_livemap_root[address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT];
    size_t slots = ((size_t)1 << (MEMTRACK_LIVEMAP_CHUNK_SHIFT - memtrack_rt.allocator_unit_shift)) +
                   MEMTRACK_LIVEMAP_SPARE;
    size_t bytes = (slots * sizeof(uint32_t) + MEMTRACK_PAGE - 1) & ~(size_t)(MEMTRACK_PAGE - 1);
    uint32_t *fresh = memtrack_map_private(bytes);
    if (!fresh)
        return NULL;
    uint32_t *expected = NULL;
    if (__atomic_compare_exchange_n(place, &expected, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    return expected; /* another thread was first; ours is never touched: address space alone */
}

MEMTRACK_COLD bool memtrack_livemap_side_put(uintptr_t address, struct memtrack_block block)
{
    if (!side)
        return false;
    for (uint64_t i = 0, at = address >> 3; i < MEMTRACK_SIDE_PROBES; i++, at++) {
        struct memtrack_side_entry *entry = &side[at & (MEMTRACK_SIDE_SLOTS - 1)];
        uint64_t found = MEMTRACK_LOAD(&entry->address);
        if (found <= MEMTRACK_SIDE_TOMBSTONE &&
            __atomic_compare_exchange_n(&entry->address, &found, (uint64_t)address, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            MEMTRACK_STORE(&entry->block, (uint64_t)block.cell << 8 | block.size);
            return true;
        }
    }
    return false;
}

MEMTRACK_COLD struct memtrack_block memtrack_livemap_side_take(uintptr_t address)
{
    struct memtrack_block block = {0, 0};
    for (uint64_t i = 0, at = address >> 3; side && i < MEMTRACK_SIDE_PROBES; i++, at++) {
        struct memtrack_side_entry *entry = &side[at & (MEMTRACK_SIDE_SLOTS - 1)];
        uint64_t found = MEMTRACK_LOAD_ACQUIRE(&entry->address);
        if (found == 0)
            break;
        if (found == address) {
            uint64_t word = MEMTRACK_LOAD(&entry->block);
            block.cell = (uint32_t)(word >> 8);
            block.size = word & 0xff;
            MEMTRACK_STORE_RELEASE(&entry->address, (uint64_t)MEMTRACK_SIDE_TOMBSTONE);
            break;
        }
    }
    return block;
}
