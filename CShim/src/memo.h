/* SPDX-License-Identifier: Apache-2.0
 *
 * The memo: stacks this thread has already unwound, and what must hold for one of them to be the present one.
 *
 * WHY IT IS EXACT. Unwinding is a function of (return address, stack pointer, frame pointer) and of the stack words
 * that it reads. An entry keeps all of these; if all still match, unwinding again would read the same words and
 * so give the same stack. A comparison costs about 1 ns a frame.
 *
 * DATA MODEL. A hash from (return address, its slot) to a chain of entries, newest first, in an arena that only
 * grows; a full arena is replaced by an empty one of twice the size up to MEMTRACK_MEMO_MOST, then emptied: it is a
 * cache. Entries are packed: header, `count` words, `count` 16-bit offsets; `count` is a multiple of MEMTRACK_MEMO_GROUP,
 * so that the comparison branches once a group (4 instructions a word; 8 with a branch for each). Owned by one thread;
 * signal handlers never get here (they find the thread BUSY).
 */
#ifndef MEMTRACK_MEMO_H
#define MEMTRACK_MEMO_H

#include "runtime.h"

#define MEMTRACK_MEMO_FIRST (UINT32_C(16) << 10) /* bytes */
#define MEMTRACK_MEMO_MOST (UINT32_C(1) << 20)
#define MEMTRACK_MEMO_HEADS 1024u
#define MEMTRACK_MEMO_FIRST_HEADS 64u
#define MEMTRACK_MEMO_TRIES 4u
#define MEMTRACK_MEMO_WAYS 4u
#define MEMTRACK_MEMO_GROUP 4u
#define MEMTRACK_MEMO_WORDS 512u
#define MEMTRACK_MEMO_REACH 65535u /* words: a slot further up cannot be memoised */

struct memtrack_memo_entry {
    uint64_t address;  /* return address of the hook */
    uintptr_t slot;    /* where it stands */
    uintptr_t rbp;     /* of the hook's caller; compared if needs_rbp */
    uint32_t next;     /* offset in the arena of an older entry of the same bucket, 0 none */
    uint32_t stack;    /* node */
    uint16_t count;    /* words to compare */
    uint8_t needs_rbp;
    uint8_t next_way;  /* the way to replace next */
    /* Cells of this stack by size class, and their counters in the thread's bank. */
    struct memtrack_memo_way {
        struct memtrack_counters *counters; /* NULL: not in use */
        uint32_t size_class;
        uint32_t cell;
    } ways[MEMTRACK_MEMO_WAYS];
    /* uint64_t words[count]; uint16_t offsets[count]; padded to whole groups with copies of the last */
};

struct memtrack_memo {
    char *arena;
    uint32_t size;
    uint32_t used; /* the first 8 bytes of an arena are not used: offset 0 means none */
    uint32_t mask; /* heads in use, minus 1 */
    uint32_t heads[MEMTRACK_MEMO_HEADS];
};

void memtrack_memo_clear(struct memtrack_memo *memo);
/* Enters a stack, with the words it depends on and their addresses; NULL where it cannot be memoised. */
struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, const struct memtrack_memo_entry *key,
                                                 const uint64_t *words, const uint64_t *addresses);

MEMTRACK_INLINE uint32_t memtrack_memo_hash(uint64_t address, uintptr_t slot)
{
    uint64_t h = (address ^ ((uint64_t)slot << 20)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 40);
}

MEMTRACK_INLINE struct memtrack_memo_entry *memtrack_memo_find(struct memtrack_memo *memo, uint64_t address,
                                                               uintptr_t slot, uintptr_t rbp)
{
    uint32_t at = memo->heads[memtrack_memo_hash(address, slot) & memo->mask];
    for (uint32_t tries = 0; at && tries < MEMTRACK_MEMO_TRIES; tries++) {
        struct memtrack_memo_entry *entry = (struct memtrack_memo_entry *)(void *)(memo->arena + at);
        at = entry->next;
        if (entry->address != address || entry->slot != slot || (entry->needs_rbp && entry->rbp != rbp))
            continue;
        const uint64_t *words = (const uint64_t *)(const void *)(entry + 1);
        uint32_t count = entry->count;
        const uint16_t *offsets = (const uint16_t *)(const void *)(words + count);
        const uint64_t *stack = (const uint64_t *)slot;
        uint64_t differs = 0;
        for (uint32_t i = 0; i < count; i += MEMTRACK_MEMO_GROUP) {
            differs = (stack[offsets[i]] ^ words[i]) | (stack[offsets[i + 1]] ^ words[i + 1]) |
                      (stack[offsets[i + 2]] ^ words[i + 2]) | (stack[offsets[i + 3]] ^ words[i + 3]);
            if (MEMTRACK_UNLIKELY(differs))
                break;
        }
        if (MEMTRACK_LIKELY(!differs))
            return entry;
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
