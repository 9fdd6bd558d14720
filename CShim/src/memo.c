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
        char *arena = memtrack_map_scratch(size);
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
    /* Full for good. What is in it may well be asked for again: keep it, and start anew once in a while. */
    if (memo->size && memo->refusals++ < MEMTRACK_MEMO_PATIENCE)
        return false;
    memo->refusals = 0;
    memtrack_memo_clear(memo);
    return memo->used + bytes <= memo->size;
}

static uint16_t offset_of(struct memtrack_memo_words words, uint32_t word, uintptr_t slot)
{
    return (uint16_t)((words.address[word] - (slot - 8)) / 8);
}

/* Makes an entry of the words from `first` on. There is room. */
static struct memtrack_memo_entry *make(struct memtrack_memo *memo, uint64_t key1, uint64_t key2, uintptr_t slot,
                                        uint32_t stack, struct memtrack_memo_words words, uint32_t first)
{
    uint32_t length = words.count - first;
    uint32_t groups = (length + MEMTRACK_MEMO_GROUP - 1) / MEMTRACK_MEMO_GROUP;
    uint32_t at = memo->used;
    struct memtrack_memo_entry *entry = (struct memtrack_memo_entry *)(void *)(memo->arena + at);
    *entry = (struct memtrack_memo_entry){
        .key1 = key1, .key2 = key2, .stack = stack, .length = (uint16_t)length, .groups = (uint16_t)groups};
    for (uint32_t i = 0; i < MEMTRACK_MEMO_WAYS; i++)
        entry->ways[i].size_class = MEMTRACK_CLASSES;
    for (uint32_t i = 0; i < groups * MEMTRACK_MEMO_GROUP; i++) {
        uint32_t from = first + (i < length ? i : length - 1);
        entry->group[i / MEMTRACK_MEMO_GROUP].word[i % MEMTRACK_MEMO_GROUP] = words.word[from];
        entry->group[i / MEMTRACK_MEMO_GROUP].offset[i % MEMTRACK_MEMO_GROUP] = offset_of(words, from, slot);
    }
    uint32_t *head = &memo->heads[memtrack_memo_hash(key1, key2) & memo->mask];
    entry->next = *head;
    memo->used = at + (uint32_t)(sizeof(*entry) + groups * sizeof(entry->group[0]));
    MEMTRACK_SIGNAL_FENCE();
    *head = at;
    return entry;
}

struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                                 uint32_t stack, struct memtrack_memo_words words)
{
    for (uint32_t i = 0; i < words.count; i++)
        if ((words.address[i] - (slot - 8)) / 8 > MEMTRACK_MEMO_REACH)
            return NULL;
    if (!make_room(memo, (uint32_t)(sizeof(struct memtrack_memo_entry) +
                                    (words.count / MEMTRACK_MEMO_GROUP + 1) * sizeof(struct memtrack_memo_group))))
        return NULL;
    struct memtrack_memo_entry *entry = memtrack_memo_lookup(memo, address, slot);
    uint32_t word = 0; /* of `words`: compared so far */
    while (entry) {
        uint32_t i = 0;
        while (i < entry->length && word < words.count && memtrack_memo_offset(entry, i) == offset_of(words, word, slot) &&
               memtrack_memo_word(entry, i) == words.word[word]) {
            i++;
            word++;
        }
        if (i == entry->length && word == words.count) {
            entry->stack = stack;
            return entry;
        }
        if (i == entry->length || word == words.count ||
            memtrack_memo_offset(entry, i) != offset_of(words, word, slot))
            break; /* another kind of walk read other words: it gets a base of its own, in front of this one */
        uint64_t key2 = memtrack_memo_alternative(memo, entry, i);
        uint64_t key1 = words.word[word++];
        entry = memtrack_memo_lookup(memo, key1, key2);
        if (!entry)
            return make(memo, key1, key2, slot, stack, words, word);
    }
    return make(memo, address, slot, slot, stack, words, 0);
}
