/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule cache: pc -> unwind rule, decoded once. Shared by all threads, without a lock.
 *
 * DATA MODEL. Open addressing over (key, packed rule). The key holds the pc, whether it is exact, and the module
 * generation: after a dlclose no old entry matches any more, and its slot may be taken again. A writer claims a
 * slot by swapping its key for BUSY, stores the rule, then the key; a reader that finds its key loads the rule and
 * looks at the key again. Full neighbourhoods make a table of twice the size take over, with what is in the old one; that
 * stays mapped, for readers that are still in it. It is a cache: what is lost is decoded again.
 */
#include "rules.h"

#define MEMTRACK_RULES_FIRST 128u /* 2 KB: enough for a small program */
#define MEMTRACK_RULES_SECOND 512u
#define MEMTRACK_RULES_MOST (1u << 20)
#define MEMTRACK_RULES_PROBES 8u
#define MEMTRACK_KEY_BUSY UINT64_C(1)

struct memtrack_rule_table *memtrack_rules;

static bool pack(struct memtrack_rule rule, uint64_t *packed)
{
    if (rule.rbp_offset & 7 || rule.rbp_offset / 8 >= 1 << 17 || rule.rbp_offset / 8 < -(1 << 17) ||
        rule.cfa_offset >= 1 << 23 || rule.cfa_offset < -(1 << 23))
        return false;
    *packed = (uint64_t)rule.kind | (uint64_t)rule.flags << 3 | (uint64_t)rule.module_index << 6 |
              ((uint64_t)(uint32_t)(rule.rbp_offset / 8) & 0x3ffff) << 22 |
              ((uint64_t)(uint32_t)rule.cfa_offset & 0xffffff) << 40;
    return true;
}

/* Into a table that nobody else knows yet, where there is room near its place. */
static void copy(struct memtrack_rule_table *table, uint64_t key, uint64_t packed)
{
    for (uint32_t i = 0; i < MEMTRACK_RULES_PROBES; i++) {
        struct memtrack_rule_slot *slot = &table->slots[(memtrack_rule_slot(key) + i) & table->mask];
        if (slot->key)
            continue;
        *slot = (struct memtrack_rule_slot){key, packed};
        return;
    }
}

static struct memtrack_rule_table *grow(struct memtrack_rule_table *old, uint64_t generation)
{
    uint64_t slots = MEMTRACK_RULES_FIRST;
    if (old)
        slots = old->mask + 1 < MEMTRACK_RULES_SECOND ? MEMTRACK_RULES_SECOND : (old->mask + 1) * 2;
    if (slots > MEMTRACK_RULES_MOST)
        return NULL;
    struct memtrack_rule_table *table = memtrack_map_private(sizeof(*table) + slots * sizeof(struct memtrack_rule_slot));
    if (!table)
        return NULL;
    memtrack_private_populate(table, sizeof(*table) + slots * sizeof(struct memtrack_rule_slot));
    table->mask = slots - 1;
    for (uint64_t i = 0; old && i <= old->mask; i++) {
        uint64_t packed, key = MEMTRACK_LOAD(&old->slots[i].key);
        if (key >> 48 == generation && memtrack_rule_at(old, i, key, &packed) == key)
            copy(table, key, packed);
    }
    if (__atomic_compare_exchange_n(&memtrack_rules, &old, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return table;
    return old; /* another thread grew it: ours costs address space alone */
}

static void insert(uint64_t key, uint64_t packed)
{
    struct memtrack_rule_table *table = MEMTRACK_LOAD_ACQUIRE(&memtrack_rules);
    if (!table && !(table = grow(NULL, 0)))
        return;
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < MEMTRACK_RULES_PROBES; i++) {
            struct memtrack_rule_slot *slot = &table->slots[(memtrack_rule_slot(key) + i) & table->mask];
            uint64_t found = MEMTRACK_LOAD(&slot->key);
            bool stale = found != MEMTRACK_KEY_BUSY && found >> 48 != key >> 48;
            if (found == key)
                return;
            if ((found == 0 || stale) && __atomic_compare_exchange_n(&slot->key, &found, MEMTRACK_KEY_BUSY, false,
                                                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
                MEMTRACK_STORE(&slot->packed, packed);
                MEMTRACK_STORE_RELEASE(&slot->key, key);
                return;
            }
        }
        table = grow(table, key >> 48);
        if (!table)
            return;
    }
}

static MEMTRACK_COLD uint64_t decode(uint64_t pc, bool exact, uint64_t key)
{
    struct memtrack_rule rule = {MEMTRACK_RULE_NONE, 0, MEMTRACK_MODULE_NONE, 0, 0};
    struct memtrack_object object;
    uint64_t packed, lookup = exact ? pc : pc - 1;
    if (!memtrack_object_find(lookup, &object)) {
        pack(rule, &packed);
        return packed; /* code made at run time: not cached, a module may be mapped there later */
    }
    memtrack_rule_decode(&object, lookup, &rule);
    rule.module_index = memtrack_module_index(&object);
    if (!pack(rule, &packed)) {
        rule.kind = MEMTRACK_RULE_FULL;
        rule.cfa_offset = rule.rbp_offset = 0;
        pack(rule, &packed);
    }
    insert(key, packed);
    return packed;
}

/* What the first place did not have. */
uint64_t memtrack_rule_slow(uint64_t pc, bool exact, uint64_t key)
{
    const struct memtrack_rule_table *table = MEMTRACK_LOAD_ACQUIRE(&memtrack_rules);
    for (uint32_t i = 0; table && i < MEMTRACK_RULES_PROBES; i++) {
        uint64_t packed, found = memtrack_rule_at(table, memtrack_rule_slot(key) + i, key, &packed);
        if (found == key)
            return packed;
        if (found == 0)
            break;
    }
    return decode(pc, exact, key);
}
