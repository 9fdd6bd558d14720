/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables that give dense ids to keys (intern.c); used for the frames of stacks (nodes.c) and for cells (cells.c).
 *
 * DATA MODEL. Open addressing over 8-byte slots in private memory: 32 bits of hash (which also place the slot) and the id.
 * The key itself stands in the region's record and is compared there, so a match is exact. A new record is
 * written first and then published by one compare-and-swap of its slot. A table that is half full is copied into one of
 * twice the size, which takes its place; the pages of the old one are given back, and read as empty to a thread
 * that still looks there.
 *
 * No lock, and no key is promised one id: two threads that insert at the same moment, or while a table is copied,
 * may make two ids for one key. Readers merge by content. An id that lost such a race stays unused.
 */
#ifndef MEMTRACK_INTERN_H
#define MEMTRACK_INTERN_H

#include "runtime.h"

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

void memtrack_intern_put(struct memtrack_intern_table *table, uint64_t slot);

/* The table, with room for one more; NULL where there is none to be had now. */
struct memtrack_intern_table *memtrack_intern_with_room(struct memtrack_intern_table **place);

void memtrack_nodes_after_fork(void);
void memtrack_cells_after_fork(void);

#endif
