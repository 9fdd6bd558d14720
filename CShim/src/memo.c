/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding in the memo what is not found at once, filling it and emptying it. See memo.h.
 *
 * A handler that interrupts this and leaves by longjmp, or a fork by another thread, finds all chains without a circle at
 * every instant: at worst an entry is in none any more, which costs another walk.
 */
#include "memo.h"

#include <sys/mman.h>

static uint32_t log2_of(uint32_t number)
{
    return 31 - (uint32_t)__builtin_clz(number);
}

void memtrack_memo_clear(struct memtrack_memo *memo)
{
    if (!memo->mask) {
        memo->groups = memo->first_groups;
        memo->cells = memo->first_cells;
        memo->cell_shift = 32 - log2_of(MEMTRACK_MEMO_FIRST_CELLS);
        memo->mask = MEMTRACK_MEMO_FIRST_HEADS - 1;
    }
    __builtin_memset(memo->heads, 0, (memo->mask + 1) * sizeof(memo->heads[0]));
    __builtin_memset(memo->groups, 0, (memo->mask + 1) * sizeof(memo->groups[0]));
    if (memo->has_cells)
        __builtin_memset(memo->cells, 0, sizeof(memo->cells[0]) << (32 - memo->cell_shift));
    memo->has_cells = false;
    memo->used = MEMTRACK_MEMO_LINE;
}

static struct memtrack_memo_entry *entry_at(const struct memtrack_memo *memo, uint32_t at)
{
    return at ? (struct memtrack_memo_entry *)(void *)(memo->arena + at) : NULL;
}

static uint32_t entry_size(uint32_t groups)
{
    uint32_t bytes = (uint32_t)(sizeof(struct memtrack_memo_entry) + (groups + 1) * sizeof(int32_t));
    return (bytes + MEMTRACK_MEMO_LINE - 1) & ~(MEMTRACK_MEMO_LINE - 1);
}

static uint32_t *head_of(struct memtrack_memo *memo, uint64_t key1, uint64_t key2)
{
    return &memo->heads[memtrack_memo_hash(key1, key2) & memo->mask];
}

static void put(struct memtrack_memo *memo, struct memtrack_memo_entry *entry)
{
    uint32_t *head = head_of(memo, entry->key1, entry->key2);
    entry->next = *head;
    MEMTRACK_SIGNAL_FENCE();
    *head = (uint32_t)((char *)entry - memo->arena);
    MEMTRACK_SIGNAL_FENCE();
}

/* Takes an entry out of its bucket. */
static void take(struct memtrack_memo *memo, const struct memtrack_memo_entry *entry)
{
    uint32_t at = (uint32_t)((const char *)entry - memo->arena);
    uint32_t *link = head_of(memo, entry->key1, entry->key2);
    while (*link && *link != at)
        link = &entry_at(memo, *link)->next;
    if (*link)
        *link = entry->next;
    MEMTRACK_SIGNAL_FENCE();
}

/* Brings what it finds to the front, where the hooks look. */
static struct memtrack_memo_entry *lookup(struct memtrack_memo *memo, uint64_t key1, uint64_t key2)
{
    uint32_t *head = head_of(memo, key1, key2), *link = head;
    for (uint32_t tries = 0; *link && tries < MEMTRACK_MEMO_TRIES; tries++) {
        struct memtrack_memo_entry *entry = entry_at(memo, *link);
        if (entry->key1 == key1 && entry->key2 == key2) {
            if (link != head) {
                *link = entry->next;
                MEMTRACK_SIGNAL_FENCE();
                put(memo, entry);
            }
            return entry;
        }
        link = &entry->next;
    }
    return NULL;
}

/* Twice as many heads: each bucket becomes two. */
static void split_buckets(struct memtrack_memo *memo)
{
    uint32_t heads = memo->mask + 1;
    __builtin_memset(memo->heads + heads, 0, heads * sizeof(memo->heads[0]));
    if (memo->groups == memo->first_groups) { /* what these hold is found again, or made again */
        memo->groups = memo->more_groups;
        memo->cells = memo->more_cells;
        MEMTRACK_SIGNAL_FENCE();
        memo->cell_shift = 32 - log2_of(MEMTRACK_MEMO_CELLS);
    }
    __builtin_memset(memo->groups + heads, 0, heads * sizeof(memo->groups[0]));
    memo->mask = 2 * heads - 1;
    for (uint32_t i = 0; i < heads; i++) {
        struct memtrack_memo_entry *entry = entry_at(memo, memo->heads[i]);
        memo->heads[i] = 0;
        MEMTRACK_SIGNAL_FENCE();
        while (entry) {
            struct memtrack_memo_entry *next = entry_at(memo, entry->next);
            put(memo, entry);
            entry = next;
        }
    }
}

/* Moves into an arena of twice the size. Offsets stay what they are; the old arena goes when nothing names it any more. */
static bool grow(struct memtrack_memo *memo)
{
    uint32_t old_size = memo->size, size = old_size ? old_size * 2 : MEMTRACK_MEMO_FIRST;
    char *old = memo->arena, *arena = size <= MEMTRACK_MEMO_MOST ? memtrack_map_scratch(size) : NULL;
    if (!arena)
        return false;
    if (old)
        __builtin_memcpy(arena, old, memo->used);
    MEMTRACK_SIGNAL_FENCE();
    memo->arena = arena;
    MEMTRACK_SIGNAL_FENCE();
    memo->size = size;
    MEMTRACK_SIGNAL_FENCE();
    if (old)
        memtrack_unmap_private(old, old_size);
    if (old && memo->mask + 1 < MEMTRACK_MEMO_HEADS)
        split_buckets(memo);
    return true;
}

static bool make_room(struct memtrack_memo *memo, uint32_t bytes)
{
    while (memo->used + bytes > memo->size) {
        if (grow(memo))
            continue;
        /* Full for good. What is in it may well be asked for again: keep it, and start anew once in a while. */
        if (!memo->size || memo->refusals++ < MEMTRACK_MEMO_PATIENCE)
            return false;
        memo->refusals = 0;
        memtrack_memo_clear(memo);
        return memo->used + bytes <= memo->size;
    }
    return true;
}

/* A new entry with these groups, in no bucket yet. There is room. */
static struct memtrack_memo_entry *make(struct memtrack_memo *memo, uint64_t key1, uint64_t key2, uint32_t stack,
                                        const struct memtrack_memo_group *const *group, uint32_t groups)
{
    struct memtrack_memo_entry *made = entry_at(memo, memo->used);
    memo->used += entry_size(groups);
    *made = (struct memtrack_memo_entry){.key1 = key1, .key2 = key2, .stack = stack, .groups = (uint8_t)groups};
    for (uint32_t i = 0; i < MEMTRACK_MEMO_WAYS; i++)
        made->way[i] = MEMTRACK_MEMO_NO_CLASS;
    for (uint32_t i = 0; i < groups; i++)
        made->group[i] = (int32_t)((const char *)group[i] - (const char *)made);
    made->group[groups] = 0;
    return made;
}

/* The first place at which the present stack has another word than the entry; 0 if there is none. Until group *same it is
 * that of `known`, so the groups that the entry shares with it need not be compared again. */
static int32_t difference(const struct memtrack_memo_entry *entry, const uint64_t *top,
                          const struct memtrack_memo_entry **known, uint32_t *same)
{
    uint32_t at = 0, i = 0;
    while (at < *same && at < entry->groups &&
           memtrack_memo_group(entry, entry->group[at]) == memtrack_memo_group(*known, (*known)->group[at]))
        at++;
    *known = entry;
    while (at < entry->groups && memtrack_memo_group_holds(memtrack_memo_group(entry, entry->group[at]), top))
        at++;
    *same = at;
    if (at == entry->groups)
        return 0;
    const struct memtrack_memo_group *group = memtrack_memo_group(entry, entry->group[at]);
    while (top[group->place[i]] == group->word[i])
        i++;
    return group->place[i];
}

/* Where in the entry's list a place stands, and its word there; past the end where it is not listed. */
static uint32_t position(const struct memtrack_memo_entry *entry, int32_t place, uint64_t *word)
{
    for (uint32_t at = 0; at < entry->groups; at++) {
        const struct memtrack_memo_group *group = memtrack_memo_group(entry, entry->group[at]);
#pragma GCC unroll 5
        for (uint32_t i = 0; i < MEMTRACK_MEMO_GROUP; i++) {
            if (group->place[i] == place) {
                *word = group->word[i];
                return at * MEMTRACK_MEMO_GROUP + i;
            }
        }
    }
    return UINT32_MAX;
}

/* Puts a new entry in the place of `entry`, which becomes its child: from now on `place` is looked at first. */
static void give_sign(struct memtrack_memo *memo, struct memtrack_memo_entry *entry, int32_t place)
{
    uint64_t own;
    if (entry->signs + entry->height >= MEMTRACK_MEMO_SIGNS || memo->used + entry_size(entry->groups) > memo->size ||
        position(entry, place, &own) == UINT32_MAX)
        return;
    const struct memtrack_memo_group *group[MEMTRACK_MEMO_GROUPS];
    for (uint32_t i = 0; i < entry->groups; i++)
        group[i] = memtrack_memo_group(entry, entry->group[i]);
    struct memtrack_memo_entry *above = make(memo, entry->key1, entry->key2, entry->stack, group, entry->groups);
    __builtin_memset(above->child, 0, sizeof(above->child));
    above->spread = MEMTRACK_MEMO_SPREAD;
    above->sign = place;
    above->signs = entry->signs;
    above->height = (uint8_t)(entry->height + 1);
    take(memo, entry);
    put(memo, above);
    entry->key1 = own;
    entry->key2 = memtrack_memo_child(memo, above, place);
    entry->signs++;
    put(memo, entry);
}

/* A child of the entry with a sign, at this sign, that is still a child of the entry below. */
static struct memtrack_memo_entry *take_over(struct memtrack_memo *memo, struct memtrack_memo_entry *above, uint64_t word)
{
    uint64_t own;
    if (position(above, above->sign, &own) == UINT32_MAX)
        return NULL;
    uint64_t key2 = memtrack_memo_child(memo, above, above->sign);
    struct memtrack_memo_entry *below = lookup(memo, own, key2);
    struct memtrack_memo_entry *child =
        below ? lookup(memo, word, memtrack_memo_child(memo, below, above->sign)) : NULL;
    if (child) {
        take(memo, child);
        child->key2 = key2;
        put(memo, child);
    }
    return child;
}

/* The entry that the present stack branches off from, when it differs from `entry` at `place` first: the signs that led
 * there mean nothing from one on that stands further out, since a walk of this stack may not read that word at all. */
static struct memtrack_memo_entry *branch(const struct memtrack_memo *memo, struct memtrack_memo_entry *entry,
                                          int32_t place)
{
    struct memtrack_memo_entry *from = entry;
    uint64_t word, key2 = entry->key2;
    uint32_t at = position(entry, place, &word);
    while (memtrack_memo_is_child(key2)) {
        struct memtrack_memo_entry *above = entry_at(memo, memtrack_memo_parent(key2));
        if (above->sign != memtrack_memo_place(key2))
            break; /* the way from there was found by comparing */
        if (at < position(entry, above->sign, &word))
            from = above;
        key2 = above->key2;
    }
    return from;
}

/* Puts a child of an entry with a sign where the hooks look first. */
static void keep_child(const struct memtrack_memo *memo, struct memtrack_memo_entry *entry,
                       const struct memtrack_memo_entry *child)
{
    const struct memtrack_memo_entry *there =
        entry_at(memo, entry->child[memtrack_memo_child_hash(entry, child->key1)]);
    uint32_t changes = entry->spread % MEMTRACK_MEMO_SPREADS;
    if (there && there != child && there->key2 == child->key2 && changes + 1 < MEMTRACK_MEMO_SPREADS) {
        uint32_t spread = (entry->spread ^ entry->spread >> 15) * MEMTRACK_MEMO_SPREAD;
        entry->spread = spread / MEMTRACK_MEMO_SPREADS * MEMTRACK_MEMO_SPREADS + changes + 1;
        __builtin_memset(entry->child, 0, sizeof(entry->child));
    }
    entry->child[memtrack_memo_child_hash(entry, child->key1)] = (uint32_t)((const char *)child - memo->arena);
}

/* Finds the entry of the present stack; or NULL, and in *key1 and *key2 the keys that it would have. */
static struct memtrack_memo_entry *descend(struct memtrack_memo *memo, const uint64_t *top, uint64_t *key1,
                                           uint64_t *key2)
{
    struct memtrack_memo_entry *entry = lookup(memo, *key1, *key2);
    const struct memtrack_memo_entry *known = NULL;
    uint32_t same = 0;
    for (uint32_t steps = 0; entry && steps < MEMTRACK_MEMO_WORDS; steps++) {
        struct memtrack_memo_entry *child = NULL;
        if (entry->sign) {
            *key1 = top[entry->sign];
            *key2 = memtrack_memo_child(memo, entry, entry->sign);
            child = lookup(memo, *key1, *key2);
            if (child)
                keep_child(memo, entry, child);
        }
        if (!child) {
            int32_t place = difference(entry, top, &known, &same);
            if (!place)
                return entry->sign ? NULL : entry; /* its own child may be lost: it is made again */
            struct memtrack_memo_entry *from = branch(memo, entry, place);
            bool is_astray = from != entry;
            *key1 = top[place];
            *key2 = memtrack_memo_child(memo, from, place);
            child = place == from->sign ? take_over(memo, from, *key1) : lookup(memo, *key1, *key2);
            if (child && place != from->sign && (++from->led_on >= MEMTRACK_MEMO_LEARN || is_astray)) {
                from->led_on = 0;
                give_sign(memo, from, place);
            }
        }
        entry = child;
    }
    return NULL;
}

struct memtrack_memo_entry *memtrack_memo_find(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                               const uint64_t *top)
{
    if (MEMTRACK_UNLIKELY(memo->size - memo->used < MEMTRACK_MEMO_SPARE) && memo->size)
        grow(memo); /* room for signs */
    return descend(memo, top, &address, &slot);
}

/* The group of `words` [from, to). There is room for one. */
static const struct memtrack_memo_group *intern_group(struct memtrack_memo *memo, const uint64_t *top, struct memtrack_memo_words words,
                             uint32_t from, uint32_t to)
{
    static const uint64_t factor[MEMTRACK_MEMO_GROUP] = {UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xd6e8feb86659fd93),
                                                         UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
                                                         UINT64_C(0x8ebc6af09c88c6e3)};
    struct memtrack_memo_group group = {.reserved = 0};
    uint64_t hash = words.address[from] * UINT64_C(0x2127599bf4325c37);
#pragma GCC unroll 5
    for (uint32_t i = 0; i < MEMTRACK_MEMO_GROUP; i++) {
        uint32_t word = from + i < to ? from + i : to - 1;
        group.word[i] = words.word[word];
        group.place[i] = (int32_t)((const uint64_t *)words.address[word] - top);
        hash += group.word[i] * factor[i];
    }
    uint32_t *known = &memo->groups[hash >> 40 & memo->mask];
    if (*known) {
        const struct memtrack_memo_group *other = (const struct memtrack_memo_group *)(const void *)(memo->arena + *known);
        uint64_t differs = 0;
#pragma GCC unroll 5
        for (uint32_t i = 0; i < MEMTRACK_MEMO_GROUP; i++)
            differs |= (group.word[i] ^ other->word[i]) | (uint64_t)(group.place[i] ^ other->place[i]);
        if (!differs)
            return other;
    }
    uint32_t at = memo->used;
    memo->used += (uint32_t)sizeof(group);
    struct memtrack_memo_group *made = (struct memtrack_memo_group *)(void *)(memo->arena + at);
    *made = group;
    MEMTRACK_SIGNAL_FENCE();
    *known = at;
    return made;
}

struct memtrack_memo_entry *memtrack_memo_insert(struct memtrack_memo *memo, uint64_t address, uintptr_t slot,
                                                 const uint64_t *top, uint32_t stack,
                                                 struct memtrack_memo_words words)
{
    const struct memtrack_memo_group *group[MEMTRACK_MEMO_GROUPS];
    uint32_t groups = (words.count + MEMTRACK_MEMO_GROUP - 1) / MEMTRACK_MEMO_GROUP;
    uint32_t bytes = entry_size(groups) + groups * MEMTRACK_MEMO_LINE;
    if (!make_room(memo, bytes))
        return NULL;
    struct memtrack_memo_entry *entry = descend(memo, top, &address, &slot);
    if (entry) {
        entry->stack = stack;
        return entry;
    }
    if (memo->used + bytes > memo->size) /* signs were given on the way */
        return NULL;
    uint32_t end = words.count;
    for (uint32_t i = groups; i-- > 0;) {
        uint32_t begin = end > MEMTRACK_MEMO_GROUP ? end - MEMTRACK_MEMO_GROUP : 0;
        group[i] = intern_group(memo, top, words, begin, end);
        end = begin;
    }
    struct memtrack_memo_entry *made = make(memo, address, slot, stack, group, groups);
    if (memtrack_memo_is_child(slot)) {
        const struct memtrack_memo_entry *parent = entry_at(memo, memtrack_memo_parent(slot));
        made->signs = (uint8_t)(parent->signs + (parent->sign != 0));
    }
    put(memo, made);
    return made;
}
