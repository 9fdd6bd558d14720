/* SPDX-License-Identifier: Apache-2.0
 *
 * The memo (memo.c) against a plain list of stacks, under AddressSanitizer.
 *
 * A stack here is an array of words, filled by chance. A walk goes as one through frames does: which word it reads next
 * depends on the words read so far, so that two stacks that differ at one place may have their other words elsewhere. Words
 * that no walk reads are changed by chance too. The present stack mostly differs little from one of those before.
 *
 * Checked: what is found is the stack that is there; what was just entered is found; cells and counters are those of the
 * stack and class; buckets and ways to the root are without a circle, every entry stands in one bucket; the arena is big enough.
 */
#include "memo.h"
#include "unwind_test.h"

#include <stdlib.h>
#include <string.h>

struct memtrack_runtime memtrack_rt;
uint8_t memtrack_denied[MEMTRACK_SYSCALLS];

static unsigned refuse_from; /* bytes: no arena of this size or more */
static unsigned long maps;

void *memtrack_map_scratch(size_t bytes)
{
    if (bytes >= refuse_from)
        return NULL;
    void *arena = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    return maps++ % 2 ? arena : memset(arena, 0, bytes); /* fresh from the kernel, or used before */
}

void memtrack_unmap_private(void *start, size_t bytes)
{
    memset(start, 0xee, bytes);
    free(start);
}

static uint64_t state = 1;

static uint32_t chance(uint32_t most)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * most >> 32);
}

#define WORDS 700
static uint64_t *stack_words; /* a heap block of its own: places outside it are found out */
static const uint64_t *top;
static uint64_t functions;    /* of the program: its return addresses */
static uint32_t deep;         /* words that a walk reads at most */

static uint64_t word_address[MEMTRACK_MEMO_WORDS], word[MEMTRACK_MEMO_WORDS];

static uint64_t mixed(uint64_t x)
{
    x ^= x >> 31;
    x *= UINT64_C(0x7fb5d329728ea185);
    x ^= x >> 27;
    return x;
}

/* The words that a walk from `at` reads; returns how many. */
static uint32_t walk(uint32_t at)
{
    uint32_t count = 0;
    uint64_t address = stack_words[at];
    word_address[count] = (uintptr_t)&stack_words[at - 1];
    word[count++] = stack_words[at - 1];
    while (count < deep) {
        uint64_t rule = mixed(address);
        uint32_t size = 1 + (uint32_t)(rule % 7);
        uint32_t place = at + size;
        if (rule >> 8 & 1 && rule >> 9 & 1) /* by a frame pointer: the word read last says how far */
            place += (uint32_t)(word[count - 1] % 3);
        if (place >= WORDS)
            break;
        if (rule >> 20 % 5 == 0 && size > 1 && count + 1 < deep) { /* a register, saved below */
            word_address[count] = (uintptr_t)&stack_words[at + 1];
            word[count++] = stack_words[at + 1];
        }
        address = stack_words[place];
        word_address[count] = (uintptr_t)&stack_words[place];
        word[count++] = address;
        if (address % 61 == 0) /* the outermost frame */
            break;
        at = place;
    }
    return count;
}

/* The reference: all stacks ever seen, by their words. */
struct known {
    struct known *next;
    uint64_t address;
    uintptr_t slot;
    uint32_t stack, count;
    uint64_t words[]; /* address and word */
};
#define HEADS 65536u
static struct known *heads[HEADS];
static uint32_t stacks;

static uint32_t reference(uint64_t address, uintptr_t slot, uint32_t count)
{
    uint64_t hash = address * 31 + slot;
    for (uint32_t i = 0; i < count; i++)
        hash = mixed(hash + word_address[i] * 7 + word[i]) * 0x9e3779b97f4a7c15u;
    struct known **head = &heads[hash >> 48];
    for (struct known *known = *head; known; known = known->next)
        if (known->address == address && known->slot == slot && known->count == count &&
            !memcmp(known->words, word, count * 8) && !memcmp(known->words + count, word_address, count * 8))
            return known->stack;
    struct known *made = malloc(sizeof(*made) + count * 16);
    *made = (struct known){*head, address, slot, ++stacks, count};
    memcpy(made->words, word, count * 8);
    memcpy(made->words + count, word_address, count * 8);
    *head = made;
    return made->stack;
}

static void forget_reference(void)
{
    for (uint32_t i = 0; i < HEADS; i++)
        while (heads[i]) {
            struct known *next = heads[i]->next;
            free(heads[i]);
            heads[i] = next;
        }
}

static unsigned most_signs, longest;

static void check_whole(const struct memtrack_memo *memo)
{
    if (!memo->size)
        return;
    check(memo->used <= memo->size, "%u bytes of an arena of %u are used", memo->used, memo->size);
    uint32_t lines = memo->size / MEMTRACK_MEMO_LINE;
    uint8_t *seen = calloc(lines, 1);
    bool good = true;
    for (uint32_t head = 0; head <= memo->mask && good; head++) {
        unsigned length = 0;
        for (uint32_t at = memo->heads[head]; at && good; length++) {
            const struct memtrack_memo_entry *entry = (const void *)(memo->arena + at);
            good = check(at % MEMTRACK_MEMO_LINE == 0 && at < memo->used, "an entry at %u", at) &&
                   check(!seen[at / MEMTRACK_MEMO_LINE], "the entry at %u stands in two buckets, or in a circle", at) &&
                   check((memtrack_memo_hash(entry->key1, entry->key2) & memo->mask) == head, "an entry in a wrong bucket");
            seen[at / MEMTRACK_MEMO_LINE] = 1;
            unsigned up = 0, signs = 0;
            const struct memtrack_memo_entry *from = entry;
            while (good && memtrack_memo_is_child(from->key2)) {
                uint32_t parent = memtrack_memo_parent(from->key2);
                good = check(parent && parent < memo->used, "a parent at %u", parent) &&
                       check(++up < lines, "a circle of parents");
                from = (const void *)(memo->arena + parent);
                signs += from->sign != 0;
            }
            most_signs = signs > most_signs ? signs : most_signs;
            for (uint32_t i = 0; i < entry->groups && good; i++) {
                int64_t group = at + (int64_t)entry->group[i];
                good = check(group > 0 && group < memo->used && group % MEMTRACK_MEMO_LINE == 0, "a group at %d", (int)group);
            }
            good = good && check(entry->group[entry->groups] == 0, "groups of an entry that do not end");
            at = entry->next;
        }
        longest = length > longest ? length : longest;
    }
    free(seen);
}

static uint32_t cell_of(uint32_t stack, uint32_t size_class)
{
    return (stack * MEMTRACK_CLASSES + size_class) % (1u << 23) + 1;
}

static struct memtrack_counters *counters_of(uint32_t cell)
{
    return (struct memtrack_counters *)(void *)((char *)memtrack_rt.region + (uint64_t)cell * 64);
}

static void check_way(struct memtrack_memo *memo, struct memtrack_memo_entry *entry, uint32_t stack)
{
    uint32_t size_class = chance(chance(4) ? 12 : MEMTRACK_CLASSES), cell, expected = cell_of(stack, size_class);
    struct memtrack_counters *counters;
    if (memtrack_memo_way(memo, entry, size_class, &counters, &cell) ||
        memtrack_memo_way_again(memo, entry, size_class, &counters, &cell))
        check(cell == expected && counters == counters_of(expected), "cell %u is found, and not %u", cell, expected);
    else
        memtrack_memo_remember(memo, entry, size_class, expected, counters_of(expected));
    check(!memtrack_memo_way(memo, entry, MEMTRACK_CLASSES + 1, &counters, &cell) &&
              !memtrack_memo_way_again(memo, entry, MEMTRACK_CLASSES + 1, &counters, &cell),
          "a way for a size that has none");
}

static uint64_t some_word(void)
{
    return chance(16) ? functions + chance(chance(3) ? 8 : 300) : chance(2) ? 0 : (uint64_t)chance(1u << 31) << 17;
}

static unsigned long finds, at_once, found_later, again;

/* `turns` hooks of one program. `kept`: how many of its stacks come again and again. */
static void run(uint64_t seed, uint32_t turns, uint32_t kept, uint32_t most_deep, unsigned most_bytes)
{
    struct memtrack_memo *memo = calloc(1, sizeof(*memo));
    memo->region = memtrack_rt.region;
    uint64_t(*snapshot)[WORDS] = malloc(kept * sizeof(*snapshot));
    uint32_t *snapshot_at = malloc(kept * sizeof(*snapshot_at));
    state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    functions = UINT64_C(0x555555550000) + chance(1000) * 61;
    deep = 1 + chance(most_deep);
    refuse_from = most_bytes;
    stack_words = malloc(WORDS * 8);
    top = stack_words + WORDS;
    stacks = 0;
    memtrack_memo_clear(memo);
    for (uint32_t i = 0; i < WORDS; i++)
        stack_words[i] = some_word();
    uint32_t base = WORDS - 1 - (chance(2) ? chance(WORDS - 2) : chance(60)), sites = 1 + chance(6), filled = 0;
    for (uint32_t turn = 0; turn < turns; turn++) {
        uint32_t at = base + chance(sites);
        if (filled && chance(3)) { /* one that came before, maybe a little changed */
            uint32_t which = chance(filled);
            memcpy(stack_words, snapshot[which], WORDS * 8);
            at = snapshot_at[which];
        }
        if (at < 1)
            at = 1;
        if (at >= WORDS)
            at = WORDS - 1;
        for (uint32_t changes = chance(3) ? 0 : chance(chance(8) ? 4 : 60); changes; changes--)
            stack_words[chance(4) ? at + chance(WORDS - at) : chance(WORDS)] = some_word();
        if (!chance(8) && at > 1 && at < WORDS - 9)
            stack_words[at + chance(8)] = some_word();
        uint64_t address = stack_words[at];
        uintptr_t slot = (uintptr_t)&stack_words[at];
        uint32_t count = walk(at), stack = reference(address, slot, count);
        struct memtrack_memo_entry *entry = memtrack_memo_find_first(memo, address, slot, top);
        finds++;
        at_once += entry != NULL;
        if (entry) {
            check(entry->stack == stack, "seed %lu turn %u: at once stack %u is found, and not %u", (unsigned long)seed, turn,
                  entry->stack, stack);
        } else {
            entry = memtrack_memo_find(memo, address, slot, top);
            found_later += entry != NULL;
            if (entry)
                check(entry->stack == stack, "seed %lu turn %u: stack %u is found, and not %u", (unsigned long)seed, turn,
                      entry->stack, stack);
        }
        if (!entry) {
            struct memtrack_memo_words words = {word, word_address, count};
            entry = memtrack_memo_insert(memo, address, slot, top, stack, words);
            check(!memo->size || memo->used <= memo->size, "seed %lu turn %u: %u bytes of an arena of %u are used",
                  (unsigned long)seed, turn, memo->used, memo->size);
            if (entry) {
                struct memtrack_memo_entry *found = memtrack_memo_find(memo, address, slot, top);
                again += !found;
                check(!found || found->stack == stack, "seed %lu turn %u: another stack than what was entered",
                      (unsigned long)seed, turn);
                entry = found;
            }
        }
        if (entry)
            check_way(memo, entry, stack);
        if (filled < kept || !chance(40)) {
            uint32_t which = filled < kept ? filled++ : chance(kept);
            memcpy(snapshot[which], stack_words, WORDS * 8);
            snapshot_at[which] = at;
        }
        if (!chance(5000))
            check_whole(memo);
        if (!chance(most_bytes < UINT32_MAX ? 1000 : 200000))
            memtrack_memo_clear(memo);
    }
    check_whole(memo);
    /* What is left comes over and over: in the end all of it is found. */
    unsigned missed = 0, lacking = 0;
    for (int round = 0; round < 6 && !memo->refusals; round++) {
        missed = 0;
        for (uint32_t i = 0; i < filled; i++) {
            memcpy(stack_words, snapshot[i], WORDS * 8);
            uint32_t at = snapshot_at[i];
            uintptr_t slot = (uintptr_t)&stack_words[at];
            if (memtrack_memo_find(memo, stack_words[at], slot, top))
                continue;
            missed++;
            uint32_t count = walk(at);
            lacking += !memtrack_memo_insert(memo, stack_words[at], slot, top, reference(stack_words[at], slot, count),
                                             (struct memtrack_memo_words){word, word_address, count});
        }
    }
    check(!missed || memo->refusals || lacking, "seed %lu: %u of %u stacks are not kept", (unsigned long)seed, missed, filled);
    if (memo->arena)
        free(memo->arena);
    free(stack_words);
    free(snapshot_at);
    free(snapshot);
    free(memo);
    forget_reference();
}

static uint64_t words[6], address[6];

static bool enter(struct memtrack_memo *memo, uint64_t caller)
{
    uintptr_t slot = (uintptr_t)&words[1];
    return memtrack_memo_find(memo, caller, slot, words + 6) ||
           memtrack_memo_insert(memo, caller, slot, words + 6, 1, (struct memtrack_memo_words){words, address, 6});
}

/* An entry is made in the last room there is, and the look-up on the way to its place gives a sign. */
static void last_room(uint32_t led_on)
{
    const uint32_t need = ((uint32_t)(sizeof(struct memtrack_memo_entry) + 8 + 63) & ~63u) + 2 * MEMTRACK_MEMO_LINE;
    struct memtrack_memo *memo = calloc(1, sizeof(*memo));
    memo->region = memtrack_rt.region;
    refuse_from = 2 * MEMTRACK_MEMO_FIRST;
    memtrack_memo_clear(memo);
    for (uint32_t i = 0; i < 6; i++) {
        address[i] = (uintptr_t)&words[i];
        words[i] = 1;
    }
    enter(memo, 77);
    words[2] = 2;
    for (uint32_t i = 0; i <= led_on; i++)
        enter(memo, 77);
    for (uint64_t other = 1000; memo->size - memo->used >= 2 * need; other++) {
        for (uint32_t i = 0; i < 6; i++)
            words[i] = other;
        enter(memo, other);
    }
    for (uint32_t i = 0; i < 6; i++)
        words[i] = 1;
    words[2] = 2;
    words[4] = words[5] = 9;
    enter(memo, 77);
    check(memo->used <= memo->size, "%u bytes of an arena of %u are used", memo->used, memo->size);
    free(memo->arena);
    free(memo);
}

int main(int count, char **arguments)
{
    memtrack_rt.region = malloc(64);
    if (count > 2) { /* from seed to seed */
        for (unsigned long seed = strtoul(arguments[1], NULL, 0); seed <= strtoul(arguments[2], NULL, 0); seed++)
            run(seed, 20000, 1 + (uint32_t)(seed * 37 % 300), seed % 3 ? 60 : MEMTRACK_MEMO_WORDS, seed % 4 ? UINT32_MAX : 40000);
    } else {
        for (uint64_t seed = 1; seed <= 60; seed++)
            run(seed, 8000, 1 + (uint32_t)(seed * 37 % 300), seed % 3 ? 60 : MEMTRACK_MEMO_WORDS, seed % 4 ? UINT32_MAX : 40000);
        for (uint64_t seed = 2000; seed < 2200; seed++) /* an arena that is full most of the time, to the last line */
            run(seed, 4000, 40, seed % 2 ? 5 : 20, 20000);
        for (uint32_t led_on = 0; led_on < 20; led_on++)
            last_room(led_on);
        run(1000, 150000, 2000, 40, UINT32_MAX);
        run(1001, 150000, 200, 20, 300000);
    }
    printf("memo: %lu looked for, %lu found at once, %lu later; %lu not found after they were entered; "
           "at most %u signs on a way, %u entries in a bucket; %lu arenas\n",
           finds, at_once, found_later, again, most_signs, longest, maps);
    free(memtrack_rt.region);
    return tally_end("memo");
}
