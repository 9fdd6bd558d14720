/* SPDX-License-Identifier: Apache-2.0
 *
 * The memo: stacks this thread has already unwound, and what must hold for one of them to be the present one.
 *
 * WHY IT IS EXACT. Unwinding is a function of (return address, stack pointer) and of the stack words that it reads, the
 * hook's saved rbp among them. An entry keeps all of these; if all still match, unwinding again would read the same
 * words and so give the same stack. A comparison costs about 1 ns a frame.
 *
 * DATA MODEL. An entry is a stack: its words, in the order in which a walk reads them, in groups of
 * MEMTRACK_MEMO_GROUP. They are grouped from the outer end and the groups are interned, so that stacks share those of their
 * outer frames: a stack costs an entry and its own inner words, and what is compared stays in the nearest cache. (An entry
 * lists its groups: in a chain of groups each would wait for the one before.)
 *
 * Entries are the nodes of a trie. The root of a call site and its place on the stack is found by (return address, slot of
 * the return address). Where the present stack differs from an entry at some place, the entry to try next is the one of
 * (entry, place, the word that stands there now). A comparison that breaks off costs two mispredicted branches; so an
 * entry from which many went on at one place gets a SIGN: a new entry above it, where that place alone is looked at
 * before anything is compared. What is found in the end is compared whole.
 *
 * Entries and groups stand in an arena of cache lines that only grows, up to MEMTRACK_MEMO_MOST; then it is emptied once in
 * MEMTRACK_MEMO_PATIENCE misses: it is a cache. Entries are found by a hash table with chains. Owned by one thread; signal
 * handlers never get here (they find the thread BUSY).
 */
#ifndef MEMTRACK_MEMO_H
#define MEMTRACK_MEMO_H

#include "runtime.h"

#define MEMTRACK_MEMO_FIRST (UINT32_C(16) << 10) /* bytes */
#define MEMTRACK_MEMO_MOST (UINT32_C(4) << 20)
#define MEMTRACK_MEMO_PATIENCE 4096u
#define MEMTRACK_MEMO_HEADS 16384u
#define MEMTRACK_MEMO_FIRST_HEADS 256u
#define MEMTRACK_MEMO_TRIES 32u
#define MEMTRACK_MEMO_WAYS 8u
#define MEMTRACK_MEMO_CHILDREN 16u
#define MEMTRACK_MEMO_SPREAD UINT32_C(0x9e3779c0)
#define MEMTRACK_MEMO_SPREADS 64u /* changes are counted in the bits below */
#define MEMTRACK_MEMO_CELLS 1024u
#define MEMTRACK_MEMO_FIRST_CELLS 64u
#define MEMTRACK_MEMO_GROUP 5u
#define MEMTRACK_MEMO_WORDS 512u
#define MEMTRACK_MEMO_GROUPS (MEMTRACK_MEMO_WORDS / MEMTRACK_MEMO_GROUP + 1) /* of an entry, at most */
#define MEMTRACK_MEMO_LINE 64u
#define MEMTRACK_MEMO_NO_CLASS 255u
#define MEMTRACK_MEMO_SPARE 1024u /* bytes */
#define MEMTRACK_MEMO_LEARN 16u /* times that an entry led on before it gets a sign */
#define MEMTRACK_MEMO_SIGNS 12u  /* on a way down; more where they were given above those that were there */

/* One line. Filled up at the inner end with copies of its last word. */
struct memtrack_memo_group {
    uint64_t word[MEMTRACK_MEMO_GROUP];
    int32_t place[MEMTRACK_MEMO_GROUP]; /* in words from the top of the thread's stack, so negative */
    uint32_t reserved;
};

struct memtrack_memo_entry {
    uint64_t key1;   /* root: return address of the hook; else the word that led here */
    uint64_t key2;   /* root: where the return address stands; else memtrack_memo_child(entry, place) */
    uint32_t next;   /* offset in the arena of the next entry of the same bucket, 0 none */
    int32_t sign;    /* a place; 0 none. The entry itself is not the present stack's then, its child at that place is */
    union {
        uint32_t stack;  /* node */
        uint32_t spread; /* with a sign: what a word is multiplied with for its place in `child`; below, how often it was changed */
    };
    uint8_t groups;
    uint8_t height;  /* with a sign: signs on the longest way down from here that was there first */
    uint8_t signs;   /* on the way here, when it was made */
    uint8_t led_on;
    union {
        /* Cells of this stack, each at its size class modulo the number of ways, and their counters in the thread's bank. */
        struct {
            uint32_t way[MEMTRACK_MEMO_WAYS];      /* cell << 8 | size class, MEMTRACK_MEMO_NO_CLASS none */
            uint32_t counters[MEMTRACK_MEMO_WAYS]; /* in 8 bytes from the start of the region */
        };
        /* With a sign: the child found last for each hash of the word there; 0 none. It may have got other keys since. Where
         * two would have one place, `spread` is changed: a few children soon have a place each. */
        uint32_t child[MEMTRACK_MEMO_CHILDREN];
    };
    int32_t group[]; /* where each stands, in bytes from this entry; the innermost first, and 0 behind the last */
};
_Static_assert(MEMTRACK_MEMO_GROUPS <= 255, "groups of an entry");
_Static_assert(sizeof(struct memtrack_memo_group) == MEMTRACK_MEMO_LINE, "a group is a cache line");

/* The same as a way of an entry, for stacks with more size classes than these have room for. */
struct memtrack_memo_cell {
    uint32_t stack;
    uint32_t way;
    uint32_t counters;
};

struct memtrack_memo {
    char *arena;
    struct memtrack_header *region; /* the counters' one: that of a hook which goes on in a forked child is its parent's */
    uint32_t size;
    uint32_t used; /* the first line of an arena is not used: offset 0 means none */
    uint32_t mask; /* heads in use, minus 1 */
    uint32_t refusals; /* entries not made since the arena was last emptied, for want of room */
    uint32_t *groups;  /* the last group made with each hash; as many as heads */
    struct memtrack_memo_cell *cells; /* the last way remembered with each hash */
    uint32_t cell_shift;              /* from a hash to its cell */
    bool has_cells;
    /* All that a small program needs is on one page. */
    struct memtrack_memo_cell first_cells[MEMTRACK_MEMO_FIRST_CELLS];
    uint32_t first_groups[MEMTRACK_MEMO_FIRST_HEADS];
    uint32_t heads[MEMTRACK_MEMO_HEADS];
    uint32_t more_groups[MEMTRACK_MEMO_HEADS];
    struct memtrack_memo_cell more_cells[MEMTRACK_MEMO_CELLS];
};
_Static_assert(offsetof(struct memtrack_memo, heads[MEMTRACK_MEMO_FIRST_HEADS]) <= MEMTRACK_PAGE, "first page of a memo");

/* The words that a walk read, in its order. */
struct memtrack_memo_words {
    const uint64_t *word;
    const uint64_t *address;
    uint32_t count;
};

void memtrack_memo_clear(struct memtrack_memo *memo);
/* The entry of the present stack of a hook whose return address stands at `slot`; NULL if there is none. `top`: that of the
 * thread's stack. */
struct memtrack_memo_entry *memtrack_memo_find(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                               const uint64_t *top);
/* Enters the present stack, which was not found; NULL where there is no room. */
struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                                 const uint64_t *top, uint32_t stack,
                                                 struct memtrack_memo_words words);

/* Second key of the entries that are tried where the present stack has another word than `entry` at a place. */
MEMTRACK_INLINE uint64_t memtrack_memo_child(const struct memtrack_memo *memo, const struct memtrack_memo_entry *entry,
                                             int32_t place)
{
    return (uint64_t)(uint32_t)place << 32 | (uint64_t)((const char *)entry - memo->arena) / (MEMTRACK_MEMO_LINE / 2) | 1;
}

MEMTRACK_INLINE bool memtrack_memo_is_child(uint64_t key2)
{
    return key2 & 1; /* a place on the stack is none of an odd address */
}

/* What memtrack_memo_child was made of: the entry's offset in the arena, and the place. */
MEMTRACK_INLINE uint32_t memtrack_memo_parent(uint64_t key2)
{
    return (uint32_t)(key2 & ~UINT64_C(1)) * (MEMTRACK_MEMO_LINE / 2);
}

MEMTRACK_INLINE int32_t memtrack_memo_place(uint64_t key2)
{
    return (int32_t)(uint32_t)(key2 >> 32);
}

/* Of the lower halves: constants that fit an instruction leave a register free. */
MEMTRACK_INLINE uint32_t memtrack_memo_hash(uint64_t key1, uint64_t key2)
{
    return ((uint32_t)key1 * UINT32_C(0x9e3779b1) ^ (uint32_t)key2 * UINT32_C(0x85ebca77)) >> 17;
}

MEMTRACK_INLINE uint32_t memtrack_memo_child_hash(const struct memtrack_memo_entry *entry, uint64_t word)
{
    return (uint32_t)word * entry->spread / (UINT32_MAX / MEMTRACK_MEMO_CHILDREN + 1);
}

/* The first entry of the bucket of two keys, theirs or not; NULL if there is none. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_first(const struct memtrack_memo *memo, uint64_t key1,
                                                                uint64_t key2)
{
    uint32_t at = memo->heads[memtrack_memo_hash(key1, key2) & memo->mask];
    return at ? (struct memtrack_memo_entry *)(void *)(MEMTRACK_LOAD(&memo->arena) + at) : NULL;
}

MEMTRACK_INLINE const struct memtrack_memo_group *memtrack_memo_group(const struct memtrack_memo_entry *entry, int32_t at)
{
    return (const struct memtrack_memo_group *)(const void *)((const char *)entry + at);
}

MEMTRACK_INLINE bool memtrack_memo_group_holds(const struct memtrack_memo_group *group, const uint64_t *top)
{
    return MEMTRACK_LIKELY(top[group->place[0]] == group->word[0]) &&
           MEMTRACK_LIKELY(top[group->place[1]] == group->word[1]) &&
           MEMTRACK_LIKELY(top[group->place[2]] == group->word[2]) &&
           MEMTRACK_LIKELY(top[group->place[3]] == group->word[3]) &&
           MEMTRACK_LIKELY(top[group->place[4]] == group->word[4]);
}

/* The entry of the present stack, if its root stands first in its bucket, and the others are those found last; else NULL. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_find_first(struct memtrack_memo *memo,
                                                                     uint64_t address, uintptr_t slot,
                                                                     const uint64_t *top)
{
    struct memtrack_memo_entry *entry = memtrack_memo_first(memo, address, slot);
    if (MEMTRACK_UNLIKELY(!entry) || MEMTRACK_UNLIKELY(entry->key1 != address) || MEMTRACK_UNLIKELY(entry->key2 != slot))
        return NULL;
    while (MEMTRACK_UNLIKELY(entry->sign)) {
        uint64_t key1 = top[entry->sign];
        uint32_t *at = &entry->child[memtrack_memo_child_hash(entry, key1)];
        /* One that stands elsewhere by now is no harm: it does not compare. */
        struct memtrack_memo_entry *child = (struct memtrack_memo_entry *)(void *)(MEMTRACK_LOAD(&memo->arena) + *at);
        if (MEMTRACK_UNLIKELY(!*at) || MEMTRACK_UNLIKELY(child->key1 != key1)) {
            uint64_t key2 = memtrack_memo_child(memo, entry, entry->sign);
            child = memtrack_memo_first(memo, key1, key2);
            if (MEMTRACK_UNLIKELY(!child) || MEMTRACK_UNLIKELY(child->key1 != key1) ||
                MEMTRACK_UNLIKELY(child->key2 != key2))
                return NULL;
            if (!*at)
                *at = (uint32_t)((char *)child - memo->arena);
            else if (entry->spread % MEMTRACK_MEMO_SPREADS != MEMTRACK_MEMO_SPREADS - 1)
                return NULL; /* to spread them anew */
        }
        entry = child;
    }
    for (const int32_t *at = entry->group; MEMTRACK_LIKELY(*at); at++)
        if (MEMTRACK_UNLIKELY(!memtrack_memo_group_holds(memtrack_memo_group(entry, *at), top)))
            return NULL;
    return entry;
}

/* The counters of the entry's stack for a size class, and its cell; false if they are not known yet. */
MEMTRACK_INLINE bool memtrack_memo_way(const struct memtrack_memo *memo, const struct memtrack_memo_entry *entry,
                                       uint32_t size_class, struct memtrack_counters **counters, uint32_t *cell)
{
    uint32_t at = size_class % MEMTRACK_MEMO_WAYS, way = entry->way[at];
    *cell = way >> 8;
    *counters = (struct memtrack_counters *)((uint64_t *)(void *)memo->region + entry->counters[at]);
    return MEMTRACK_LIKELY((uint8_t)way == size_class);
}

MEMTRACK_INLINE struct memtrack_memo_cell *memtrack_memo_cell(struct memtrack_memo *memo, uint32_t stack,
                                                               uint32_t size_class)
{
    uint32_t hash = (stack * MEMTRACK_CLASSES + size_class) * UINT32_C(0x9e3779b1);
    return &memo->cells[hash >> memo->cell_shift];
}

/* As memtrack_memo_way, where the entry has another class in that way. */
MEMTRACK_INLINE bool memtrack_memo_way_again(struct memtrack_memo *memo, const struct memtrack_memo_entry *entry,
                                             uint32_t size_class, struct memtrack_counters **counters, uint32_t *cell)
{
    const struct memtrack_memo_cell *known = memtrack_memo_cell(memo, entry->stack, size_class);
    *cell = known->way >> 8;
    *counters = (struct memtrack_counters *)((uint64_t *)(void *)memo->region + known->counters);
    return MEMTRACK_LIKELY(known->stack == entry->stack) && MEMTRACK_LIKELY((uint8_t)known->way == size_class);
}

MEMTRACK_INLINE void memtrack_memo_remember(struct memtrack_memo *memo, struct memtrack_memo_entry *entry,
                                            uint32_t size_class, uint32_t cell, struct memtrack_counters *counters)
{
    uint32_t at = size_class % MEMTRACK_MEMO_WAYS;
    uint64_t offset = (uint64_t)((uint64_t *)counters - (uint64_t *)(void *)memo->region);
    if (MEMTRACK_UNLIKELY(offset > UINT32_MAX)) /* 32 GiB of region */
        return;
    entry->way[at] = MEMTRACK_MEMO_NO_CLASS;
    MEMTRACK_SIGNAL_FENCE();
    entry->counters[at] = (uint32_t)offset;
    MEMTRACK_SIGNAL_FENCE();
    entry->way[at] = cell << 8 | size_class;
    struct memtrack_memo_cell *kept = memtrack_memo_cell(memo, entry->stack, size_class);
    kept->stack = 0; /* is none */
    MEMTRACK_SIGNAL_FENCE();
    kept->way = cell << 8 | size_class;
    kept->counters = (uint32_t)offset;
    MEMTRACK_SIGNAL_FENCE();
    kept->stack = entry->stack;
    memo->has_cells = true;
}

#endif
