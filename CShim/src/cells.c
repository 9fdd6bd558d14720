/* SPDX-License-Identifier: Apache-2.0
 *
 * From (stack, size class) to the id of a cell. See intern.h.
 */
#include "intern.h"

static struct memtrack_intern_table *cells;

/* Of an id that is in the table: its chunk is there. */
MEMTRACK_INLINE struct memtrack_cell *cell_record(uint32_t id)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t number = id - memtrack_rt.cell_bias - MEMTRACK_FIRST_CELL;
    uint32_t page = MEMTRACK_LOAD(&memtrack_directory(region, number / MEMTRACK_CELLS_PER_CHUNK)->cells);
    return (struct memtrack_cell *)memtrack_page_of(region, page) + number % MEMTRACK_CELLS_PER_CHUNK;
}

/* The same, made if need be; NULL where there is no room. */
static struct memtrack_cell *cell_made(struct memtrack_header *region, uint32_t number)
{
    struct memtrack_cell *chunk = NULL;
    if (number / MEMTRACK_CELLS_PER_CHUNK < MEMTRACK_CELL_CHUNKS)
        chunk = memtrack_region_chunk(region, number / MEMTRACK_CELLS_PER_CHUNK, MEMTRACK_ENTRY(cells));
    return chunk ? chunk + number % MEMTRACK_CELLS_PER_CHUNK : NULL;
}

static uint32_t insert_cell(uint32_t hash, uint32_t stack, uint32_t size_class)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t next = MEMTRACK_LOAD(&region->cell_next);
    /* A stack of another region: a handler has forked since it was taken. */
    if (!stack || stack >= MEMTRACK_LOAD(&region->node_next))
        return 0;
    if (next >= MEMTRACK_CELL_LIMIT || next - memtrack_rt.cell_bias >= MEMTRACK_MAX_COUNTER_INDEX)
        return 0;
    if (!cell_made(region, next - region->cell_base))
        return 0;
    struct memtrack_intern_table *table = memtrack_intern_with_room(&cells);
    if (!table)
        return 0;
    uint32_t id = MEMTRACK_ADD(&region->cell_next, 1);
    if (id < MEMTRACK_FIRST_CELL)
        return 0; /* a handler has forked: the parent's region reads as zeros here */
    struct memtrack_cell *cell = cell_made(region, id - region->cell_base);
    if (!cell)
        return 0;
    cell->size_class = size_class;
    MEMTRACK_STORE_RELEASE(&cell->stack, stack);
    memtrack_intern_put(table, (uint64_t)hash << 32 | id);
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

void memtrack_cells_after_fork(void)
{
    cells = NULL;
}
