/* SPDX-License-Identifier: Apache-2.0
 *
 * The live map: from a block's address to its cell and its exact requested size, without touching the block.
 *
 * DATA MODEL. A root table with one entry for each 64 MiB of the 47-bit address space; an entry names a chunk of
 * 4-byte slots, one for each UNIT of address space: 32 bytes under glibc malloc, whose blocks never start closer
 * together than that, 16 under any other allocator. All of it is private, sparse memory: committed only where the
 * heap is, and right by itself after fork. A slot belongs to whoever owns the block that starts in its unit,
 * so no lock and no atomic instruction is needed. About 1/8 (unit 32) of a dense heap of smallest blocks.
 *
 *   0                                    no block starts here
 *   bit 0 = 0  small, size < 64:         bit 1 half, bits 2-7 size, bits 8-31 cell
 *   bit 0 = 1  large, two slots, 64 bit: bit 1 half, bits 2-25 cell, bits 26-63 size
 *
 * `half`: the block starts in the second half of the unit. A block of 64 bytes or more owns the next unit too, so
 * its slot is free for the upper 32 bits. A size of 2^38-1 or more is written as 2^38-1, and its exact value stands in
 * the next two slots. A chunk has spare slots at its end for a block that starts in its last unit.
 *
 * Allocators that place blocks 8 bytes apart do so for requests of at most 8 bytes: where the unit is 16, such
 * blocks live in a side table (livemap.c), which a reader finds through the header, too.
 *
 * A reader in another process sees torn entries now and then, and must expect that.
 */
#ifndef MEMTRACK_LIVEMAP_H
#define MEMTRACK_LIVEMAP_H

#include "runtime.h"

#define MEMTRACK_LIVEMAP_CHUNK_SHIFT 26u
#define MEMTRACK_LIVEMAP_ROOT_ENTRIES (1u << (47u - MEMTRACK_LIVEMAP_CHUNK_SHIFT))
#define MEMTRACK_LIVEMAP_SPARE 8u /* slots */
#define MEMTRACK_LARGE_SIZE ((UINT64_C(1) << 38) - 1)
#define MEMTRACK_SMALL_LIMIT 64u
#define MEMTRACK_TINY_LIMIT 8u

struct memtrack_block {
    uint32_t cell; /* 0: not found */
    uint64_t size;
};

extern uint32_t **memtrack_livemap_root __attribute__((visibility("hidden")));

bool memtrack_livemap_create(void);
void memtrack_livemap_publish(struct memtrack_header *header); /* where a reader finds it */
uint32_t *memtrack_livemap_chunk(uintptr_t address); /* made if need be; NULL if refused */
bool memtrack_livemap_side_put(uintptr_t address, struct memtrack_block block);
struct memtrack_block memtrack_livemap_side_take(uintptr_t address);

/* Where a block's entry is in its chunk, and its half of the unit. A branch costs less than two variable shifts. */
MEMTRACK_INLINE uint32_t *memtrack_livemap_slot(uint32_t *chunk, uintptr_t address)
{
    uint32_t offset = (uint32_t)address & ((1u << MEMTRACK_LIVEMAP_CHUNK_SHIFT) - 1);
    if (MEMTRACK_LIKELY(memtrack_rt.allocator_unit_shift == 5))
        return chunk + (offset >> 5);
    return chunk + (offset >> 4);
}

MEMTRACK_INLINE uint32_t memtrack_livemap_half(uintptr_t address)
{
    if (MEMTRACK_LIKELY(memtrack_rt.allocator_unit_shift == 5))
        return (uint32_t)(address >> 4) & 1;
    __asm__(""); /* else the compiler makes a variable shift of it */
    return (uint32_t)(address >> 3) & 1;
}

MEMTRACK_INLINE uint32_t memtrack_livemap_small(uint64_t size, uint32_t cell, uint32_t half)
{
    return cell << 8 | (uint32_t)size << 2 | half << 1;
}

MEMTRACK_INLINE uint64_t memtrack_livemap_large(uint64_t size, uint32_t cell, uint32_t half)
{
    return size << 26 | (uint64_t)cell << 2 | half << 1 | 1;
}

/* Enters a block; false where there is no memory for the entry. */
MEMTRACK_INLINE bool memtrack_livemap_put(uintptr_t address, uint64_t size, uint32_t cell)
{
    uint32_t shift = memtrack_rt.allocator_unit_shift;
    if (MEMTRACK_UNLIKELY(shift == 4 && size <= MEMTRACK_TINY_LIMIT))
        return memtrack_livemap_side_put(address, (struct memtrack_block){cell, size});
    if (MEMTRACK_UNLIKELY(address >> 47))
        return false;
    uint32_t *chunk = MEMTRACK_LOAD(&memtrack_livemap_root[address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT]);
    if (MEMTRACK_UNLIKELY(!chunk)) {
        chunk = memtrack_livemap_chunk(address);
        if (!chunk)
            return false;
    }
    uint32_t *slot = memtrack_livemap_slot(chunk, address);
    uint32_t half = memtrack_livemap_half(address);
    if (size < MEMTRACK_SMALL_LIMIT) {
        MEMTRACK_STORE(slot, memtrack_livemap_small(size, cell, half));
        return true;
    }
    uint64_t kept = size < MEMTRACK_LARGE_SIZE ? size : MEMTRACK_LARGE_SIZE;
    uint64_t word = memtrack_livemap_large(kept, cell, half);
    __builtin_memcpy(slot, &word, 8); /* may cross a cache line; owned by this block alone */
    if (MEMTRACK_UNLIKELY(size >= MEMTRACK_LARGE_SIZE))
        __builtin_memcpy(slot + 2, &size, 8);
    return true;
}

/* Takes the block of a slot out of the live map; cell 0: there is none, or its size does not fit the slot, and it is still
 * there. */
MEMTRACK_INLINE struct memtrack_block memtrack_livemap_take_plain(uint32_t *slot, uintptr_t address)
{
    struct memtrack_block found;
    uint32_t half = memtrack_livemap_half(address);
    uint32_t low = MEMTRACK_LOAD(slot);
    if (!(low & 1)) {
        found.cell = low >> 8;
        found.size = (low >> 2) & 63;
        /* A slot of nobody is not ours to write, nor the second of two, which mostly reads as a block without a cell. */
        if (MEMTRACK_LIKELY(found.cell != 0) && MEMTRACK_LIKELY(((low >> 1) & 1) == half))
            MEMTRACK_STORE(slot, 0u);
        else
            found.cell = 0;
    } else {
        uint64_t word, nothing = 0;
        __builtin_memcpy(&word, slot, 8);
        found.cell = (uint32_t)(word >> 2) & MEMTRACK_CELL_LIMIT;
        found.size = word >> 26;
        if (MEMTRACK_LIKELY(((low >> 1) & 1) == half && found.size != MEMTRACK_LARGE_SIZE))
            __builtin_memcpy(slot, &nothing, 8);
        else
            found.cell = 0;
    }
    return found;
}

/* Takes a block out; cell 0 where none starts at that address. */
MEMTRACK_INLINE struct memtrack_block memtrack_livemap_take(uintptr_t address)
{
    struct memtrack_block block = {0, 0};
    if (MEMTRACK_UNLIKELY(address >> 47))
        return block;
    uint32_t *chunk = MEMTRACK_LOAD(&memtrack_livemap_root[address >> MEMTRACK_LIVEMAP_CHUNK_SHIFT]);
    if (MEMTRACK_LIKELY(chunk != NULL)) {
        uint32_t *slot = memtrack_livemap_slot(chunk, address);
        block = memtrack_livemap_take_plain(slot, address);
        if (MEMTRACK_LIKELY(block.cell))
            return block;
        uint32_t low = MEMTRACK_LOAD(slot);
        if (low & 1 && ((low >> 1) & 1) == memtrack_livemap_half(address)) {
            uint64_t word, nothing = 0;
            __builtin_memcpy(&word, slot, 8);
            block.cell = (uint32_t)(word >> 2) & MEMTRACK_CELL_LIMIT;
            __builtin_memcpy(&block.size, slot + 2, 8);
            __builtin_memcpy(slot, &nothing, 8);
            __builtin_memcpy(slot + 2, &nothing, 8);
            return block;
        }
    }
    block.cell = 0;
    return MEMTRACK_UNLIKELY(memtrack_rt.allocator_unit_shift == 4) ? memtrack_livemap_side_take(address) : block;
}

#endif
