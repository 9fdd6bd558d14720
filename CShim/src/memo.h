/* SPDX-License-Identifier: Apache-2.0
 *
 * The memo: stacks this thread has already unwound, and what must hold for one of them to be the present one.
 *
 * WHY IT IS EXACT. Unwinding is a function of (return address, stack pointer) and of the stack words that it reads, the
 * hook's saved rbp among them. An entry keeps all of these; if all still match, unwinding again would read the same
 * words and so give the same stack. A comparison costs about 1 ns a frame.
 *
 * DATA MODEL. A trie over those words. The BASE entry of (return address, its slot) lists the words of one stack, in the
 * order in which a walk reads them. Where the present stack differs from an entry at word i, the walk would have gone on
 * otherwise from there: an ALTERNATIVE, keyed by (entry, i, the other word), lists the words after i. So however many stacks
 * share a call site and a depth, as in a recursive parser, finding the right one compares each word once.
 *
 * Both kinds are in one hash table with chains, in an arena that only grows; a full arena is replaced by an empty one
 * of twice the size up to MEMTRACK_MEMO_MOST, then emptied once in MEMTRACK_MEMO_PATIENCE misses: it is a cache. Words and
 * their places stand in groups of MEMTRACK_MEMO_GROUP, filled up at the end, so that a comparison costs five instructions a
 * word. Owned by one thread; signal handlers never get here (they find the thread BUSY).
 */
#ifndef MEMTRACK_MEMO_H
#define MEMTRACK_MEMO_H

#include "runtime.h"

#define MEMTRACK_MEMO_FIRST (UINT32_C(16) << 10) /* bytes */
#define MEMTRACK_MEMO_MOST (UINT32_C(4) << 20)
#define MEMTRACK_MEMO_PATIENCE 65536u
#define MEMTRACK_MEMO_HEADS 16384u
#define MEMTRACK_MEMO_FIRST_HEADS 256u
#define MEMTRACK_MEMO_TRIES 32u
#define MEMTRACK_MEMO_WAYS 4u
#define MEMTRACK_MEMO_GROUP 4u
#define MEMTRACK_MEMO_WORDS 512u
#define MEMTRACK_MEMO_REACH 65535u /* words: a slot further up cannot be memoised */

struct memtrack_memo_group {
    uint64_t word[MEMTRACK_MEMO_GROUP];
    uint16_t offset[MEMTRACK_MEMO_GROUP]; /* in words from the hook's saved rbp */
};

struct memtrack_memo_entry {
    uint64_t key1;   /* base: return address of the hook; alternative: the word that differs */
    uint64_t key2;   /* base: where the return address stands; alternative: entry << 17 | word << 1 | 1 */
    uint32_t next;   /* offset in the arena of an older entry of the same bucket, 0 none */
    uint32_t stack;  /* node */
    uint16_t length; /* words */
    uint16_t groups; /* groups to compare: the last one is filled up with copies of the last word */
    uint32_t next_way; /* the way to replace next */
    /* Cells of this stack by size class, and their counters in the thread's bank. */
    struct memtrack_memo_way {
        struct memtrack_counters *counters;
        uint32_t size_class; /* MEMTRACK_CLASSES: not in use */
        uint32_t cell;
    } ways[MEMTRACK_MEMO_WAYS];
    struct memtrack_memo_group group[];
};

struct memtrack_memo {
    char *arena;
    uint32_t size;
    uint32_t used; /* the first 8 bytes of an arena are not used: offset 0 means none */
    uint32_t mask; /* heads in use, minus 1 */
    uint32_t refusals; /* entries not made since the arena was last emptied, for want of room */
    uint32_t heads[MEMTRACK_MEMO_HEADS];
};

/* The words that a walk read, in its order. */
struct memtrack_memo_words {
    const uint64_t *word;
    const uint64_t *address;
    uint32_t count;
};

void memtrack_memo_clear(struct memtrack_memo *memo);
/* Enters a stack; NULL where it cannot be memoised. */
struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                                 uint32_t stack, struct memtrack_memo_words words);

MEMTRACK_INLINE uint64_t memtrack_memo_word(const struct memtrack_memo_entry *entry, uint32_t i)
{
    return entry->group[i / MEMTRACK_MEMO_GROUP].word[i % MEMTRACK_MEMO_GROUP];
}

MEMTRACK_INLINE uint16_t memtrack_memo_offset(const struct memtrack_memo_entry *entry, uint32_t i)
{
    return entry->group[i / MEMTRACK_MEMO_GROUP].offset[i % MEMTRACK_MEMO_GROUP];
}

MEMTRACK_INLINE uint64_t memtrack_memo_alternative(const struct memtrack_memo *memo,
                                                   const struct memtrack_memo_entry *entry, uint32_t word)
{
    return (uint64_t)((const char *)entry - memo->arena) << 17 | (uint64_t)word << 1 | 1;
}

MEMTRACK_INLINE uint32_t memtrack_memo_hash(uint64_t key1, uint64_t key2)
{
    uint64_t h = (key1 ^ (key2 << 20 | key2 >> 44)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 40);
}

/* The newest entry of the bucket of two keys, theirs or not; NULL if there is none. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_first(const struct memtrack_memo *memo, uint64_t key1,
                                                                uint64_t key2)
{
    uint32_t at = memo->heads[memtrack_memo_hash(key1, key2) & memo->mask];
    return at ? (struct memtrack_memo_entry *)(void *)(memo->arena + at) : NULL;
}

MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_lookup(const struct memtrack_memo *memo, uint64_t key1,
                                                                 uint64_t key2)
{
    struct memtrack_memo_entry *entry = memtrack_memo_first(memo, key1, key2);
    for (uint32_t tries = 0; entry && tries < MEMTRACK_MEMO_TRIES; tries++) {
        if (MEMTRACK_LIKELY(entry->key1 == key1 && entry->key2 == key2))
            return entry;
        entry = entry->next ? (struct memtrack_memo_entry *)(void *)(memo->arena + entry->next) : NULL;
    }
    return NULL;
}

/* The first group from `group` on that differs from the present stack; the end of the entry's groups if none does.
 * `stack` is where the hook saved rbp. */
MEMTRACK_INLINE const struct memtrack_memo_group *memtrack_memo_compare(const struct memtrack_memo_group *group,
                                                                        const struct memtrack_memo_group *end,
                                                                        const uint64_t *stack)
{
    for (; MEMTRACK_LIKELY(group != end); group++)
        if (MEMTRACK_UNLIKELY(stack[group->offset[0]] != group->word[0]) ||
            MEMTRACK_UNLIKELY(stack[group->offset[1]] != group->word[1]) ||
            MEMTRACK_UNLIKELY(stack[group->offset[2]] != group->word[2]) ||
            MEMTRACK_UNLIKELY(stack[group->offset[3]] != group->word[3]))
            break;
    return group;
}

/* The entry of the present stack, given one that is the same before `group`; NULL if there is none. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_follow(const struct memtrack_memo *memo,
                                                                 struct memtrack_memo_entry *entry,
                                                                 const struct memtrack_memo_group *group,
                                                                 const uint64_t *stack)
{
    for (;;) {
        group = memtrack_memo_compare(group, entry->group + entry->groups, stack);
        if (group == entry->group + entry->groups)
            return entry;
        uint32_t i = 0;
        while (stack[group->offset[i]] == group->word[i])
            i++;
        uint64_t word = stack[group->offset[i]];
        i += (uint32_t)(group - entry->group) * MEMTRACK_MEMO_GROUP;
        entry = memtrack_memo_lookup(memo, word, memtrack_memo_alternative(memo, entry, i));
        if (!entry)
            return NULL;
        group = entry->group;
    }
}

/* The entry of the present stack of a hook whose return address stands at `slot`; NULL if there is none. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_find(const struct memtrack_memo *memo, uint64_t address,
                                                               uintptr_t slot)
{
    struct memtrack_memo_entry *entry = memtrack_memo_lookup(memo, address, slot);
    return entry ? memtrack_memo_follow(memo, entry, entry->group, (const uint64_t *)(slot - 8)) : NULL;
}

/* The way of the entry's stack for a size class; NULL if there is none yet. */
MEMTRACK_INLINE const struct memtrack_memo_way *memtrack_memo_way(const struct memtrack_memo_entry *entry,
                                                                  uint32_t size_class)
{
    if (MEMTRACK_LIKELY(entry->ways[0].size_class == size_class))
        return &entry->ways[0];
    for (uint32_t i = 1; i < MEMTRACK_MEMO_WAYS; i++)
        if (entry->ways[i].size_class == size_class)
            return &entry->ways[i];
    return NULL;
}

#endif
