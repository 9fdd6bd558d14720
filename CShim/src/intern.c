/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing hash tables without a lock. See intern.h.
 */
#include "intern.h"


#define MEMTRACK_FIRST_SLOTS UINT64_C(256) /* of most programs these are enough, and both tables stand on one page */
#define MEMTRACK_SECOND_SLOTS UINT64_C(1024)
#define MEMTRACK_MOST_SLOTS (UINT64_C(1) << 23)

/* At least one slot stays empty, whatever happens: look-ups end there. */
void memtrack_intern_put(struct memtrack_intern_table *table, uint64_t slot)
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
    struct memtrack_intern_table *expected = NULL, *table = memtrack_map_scratch(table_bytes(slots));
    if (!table)
        return NULL;
    memtrack_private_populate(table, table_bytes(slots));
    table->mask = slots - 1;
    if (__atomic_compare_exchange_n(place, &expected, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return table;
    memtrack_unmap_private(table, table_bytes(slots));
    return expected;
}

/* Puts a larger table in the place of `old`, unless that is not possible or another thread is at it.
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
    if (!table && !(table = make_table(&old->next, slots < MEMTRACK_SECOND_SLOTS ? MEMTRACK_SECOND_SLOTS : slots * 2)))
        return;
    for (uint64_t i = MEMTRACK_LOAD_ACQUIRE(&old->copied); i < slots; i++) {
        uint64_t slot = MEMTRACK_LOAD_ACQUIRE(&old->slots[i]);
        if (slot)
            memtrack_intern_put(table, slot);
        MEMTRACK_STORE_RELEASE(&old->copied, i + 1);
    }
    size_t bytes = table_bytes(slots);
    if (__atomic_compare_exchange_n(place, &old, table, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
        bytes > MEMTRACK_PAGE) /* the first page stays: the mask is in it */
        memtrack_sys3(SYS_madvise, (char *)old + MEMTRACK_PAGE, bytes - MEMTRACK_PAGE, MADV_DONTNEED);
}

struct memtrack_intern_table *memtrack_intern_with_room(struct memtrack_intern_table **place)
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

/* The child numbers its own nodes and cells. */
void memtrack_intern_after_fork(void)
{
    memtrack_nodes_after_fork();
    memtrack_cells_after_fork();
}
