/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling and emptying the memo. See memo.h.
 */
#include "memo.h"

#include <sys/mman.h>

void memtrack_memo_clear(struct memtrack_memo *memo)
{
    if (!memo->mask)
        memo->mask = MEMTRACK_MEMO_FIRST_HEADS - 1;
    __builtin_memset(memo->heads, 0, (memo->mask + 1) * sizeof(memo->heads[0]));
    memo->used = 8;
}

static bool make_room(struct memtrack_memo *memo, uint32_t bytes)
{
    if (memo->used + bytes <= memo->size)
        return true;
    if (memo->size < MEMTRACK_MEMO_MOST) {
        uint32_t size = memo->size ? memo->size * 2 : MEMTRACK_MEMO_FIRST;
        char *arena = memtrack_map_private(size);
        if (arena) {
            /* At every instant good for a fork by another thread, and for a handler that never comes back: no
             * head into the old arena, no size of the new one with the old, nothing unmapped that is in use. */
            char *old = memo->arena;
            uint32_t old_size = memo->size;
            memtrack_memo_clear(memo);
            MEMTRACK_SIGNAL_FENCE();
            memo->arena = arena;
            MEMTRACK_SIGNAL_FENCE();
            memo->size = size;
            if (memo->mask + 1 < MEMTRACK_MEMO_HEADS)
                memo->mask = memo->mask * 2 + 1;
            MEMTRACK_SIGNAL_FENCE();
            if (old)
                memtrack_unmap_private(old, old_size);
            return memo->used + bytes <= memo->size;
        }
    }
    memtrack_memo_clear(memo);
    return memo->used + bytes <= memo->size;
}

struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, const struct memtrack_memo_entry *key,
                                                 const uint64_t *words, const uint64_t *addresses)
{
    uint32_t count = (key->count + MEMTRACK_MEMO_GROUP - 1) & ~(MEMTRACK_MEMO_GROUP - 1);
    uint32_t bytes = (uint32_t)(sizeof(*key) + count * 10u + 7u) & ~7u;
    if (!make_room(memo, bytes))
        return NULL;
    uint32_t at = memo->used;
    struct memtrack_memo_entry *entry = (struct memtrack_memo_entry *)(void *)(memo->arena + at);
    *entry = *key;
    uint64_t *entry_words = (uint64_t *)(void *)(entry + 1);
    uint16_t *offsets = (uint16_t *)(void *)(entry_words + count);
    entry->count = (uint16_t)count;
    for (uint32_t i = 0; i < key->count; i++) {
        uint64_t offset = (addresses[i] - key->slot) / 8;
        if (offset > MEMTRACK_MEMO_REACH)
            return NULL;
        entry_words[i] = words[i];
        offsets[i] = (uint16_t)offset;
    }
    for (uint32_t i = key->count; i < count; i++) {
        entry_words[i] = entry_words[i - 1];
        offsets[i] = offsets[i - 1];
    }
    uint32_t *head = &memo->heads[memtrack_memo_hash(key->address, key->slot) & memo->mask];
    entry->next = *head;
    memo->used = at + bytes;
    *head = at;
    return entry;
}
