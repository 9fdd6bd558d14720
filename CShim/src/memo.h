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
 * of twice the size up to MEMTRACK_MEMO_MOST, then emptied once in MEMTRACK_MEMO_PATIENCE misses: it is a cache. Entries are packed: header, `count` words, `count`
 * 16-bit offsets; `count` is a multiple of MEMTRACK_MEMO_GROUP, so that the comparison branches once a group (about 6
 * instructions a word instead of 8). Owned by one thread; signal handlers never get here (they find the thread BUSY).
 */
#ifndef MEMTRACK_MEMO_H
#define MEMTRACK_MEMO_H

#include "runtime.h"

#define MEMTRACK_MEMO_FIRST (UINT32_C(16) << 10) /* bytes */
#define MEMTRACK_MEMO_MOST (UINT32_C(4) << 20)
#define MEMTRACK_MEMO_PATIENCE 65536u
#define MEMTRACK_MEMO_HEADS 4096u
#define MEMTRACK_MEMO_FIRST_HEADS 64u
#define MEMTRACK_MEMO_TRIES 32u
#define MEMTRACK_MEMO_WAYS 4u
#define MEMTRACK_MEMO_GROUP 4u
#define MEMTRACK_MEMO_WORDS 512u
#define MEMTRACK_MEMO_REACH 65535u /* words: a slot further up cannot be memoised */

struct memtrack_memo_entry {
    uint64_t key1;   /* base: return address of the hook; alternative: the word that differs */
    uint64_t key2;   /* base: where the return address stands; alternative: entry << 17 | word << 1 | 1 */
    uint32_t next;   /* offset in the arena of an older entry of the same bucket, 0 none */
    uint32_t stack;  /* node */
    uint16_t length; /* words */
    uint16_t count;  /* words to compare: length, padded to whole groups with copies of the last */
    uint32_t next_way; /* the way to replace next */
    /* Cells of this stack by size class, and their counters in the thread's bank. */
    struct memtrack_memo_way {
        struct memtrack_counters *counters; /* NULL: not in use */
        uint32_t size_class;
        uint32_t cell;
    } ways[MEMTRACK_MEMO_WAYS];
    /* uint64_t words[count]; uint16_t offsets[count], in words from the hook's saved rbp */
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

MEMTRACK_INLINE const uint64_t *memtrack_memo_entry_words(const struct memtrack_memo_entry *entry)
{
    return (const uint64_t *)(const void *)(entry + 1);
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

MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_lookup(const struct memtrack_memo *memo, uint64_t key1,
                                                                 uint64_t key2)
{
    uint32_t at = memo->heads[memtrack_memo_hash(key1, key2) & memo->mask];
    for (uint32_t tries = 0; at && tries < MEMTRACK_MEMO_TRIES; tries++) {
        struct memtrack_memo_entry *entry = (struct memtrack_memo_entry *)(void *)(memo->arena + at);
        if (MEMTRACK_LIKELY(entry->key1 == key1 && entry->key2 == key2))
            return entry;
        at = entry->next;
    }
    return NULL;
}

/* The entry of the present stack of a hook whose return address stands at `slot`; NULL if there is none. */
MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_find(const struct memtrack_memo *memo, uint64_t address,
                                                               uintptr_t slot)
{
    const uint64_t *stack = (const uint64_t *)(slot - 8);
    struct memtrack_memo_entry *entry = memtrack_memo_lookup(memo, address, slot);
    while (MEMTRACK_LIKELY(entry != NULL)) {
        const uint64_t *words = memtrack_memo_entry_words(entry);
        uint32_t count = entry->count;
        const uint16_t *offsets = (const uint16_t *)(const void *)(words + count);
        uint32_t i = 0;
        for (; i < count; i += MEMTRACK_MEMO_GROUP)
            if (MEMTRACK_UNLIKELY((stack[offsets[i]] ^ words[i]) | (stack[offsets[i + 1]] ^ words[i + 1]) |
                                  (stack[offsets[i + 2]] ^ words[i + 2]) | (stack[offsets[i + 3]] ^ words[i + 3])))
                break;
        if (MEMTRACK_LIKELY(i >= count))
            return entry;
        while (stack[offsets[i]] == words[i])
            i++;
        entry = memtrack_memo_lookup(memo, stack[offsets[i]], memtrack_memo_alternative(memo, entry, i));
    }
    return NULL;
}

/* The way of the entry's stack for a size class; NULL if there is none yet. */
MEMTRACK_INLINE const struct memtrack_memo_way *memtrack_memo_way(const struct memtrack_memo_entry *entry,
                                                                  uint32_t size_class)
{
    for (uint32_t i = 0; i < MEMTRACK_MEMO_WAYS; i++)
        if (entry->ways[i].size_class == size_class && entry->ways[i].counters)
            return &entry->ways[i];
    return NULL;
}

#endif
