/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule cache: pc -> unwind rule, decoded once. Shared by all threads, without a lock.
 *
 * DATA MODEL. Open addressing over (key, packed rule). The key holds the pc, whether it is exact, and the module
 * generation: after a dlclose no old entry matches any more, and its slot may be taken again. A writer claims a
 * slot by swapping its key for BUSY, stores the rule, then the key; a reader that finds its key loads the rule and
 * looks at the key again. Full neighbourhoods make a table of twice the size take over; the old one stays mapped,
 * for readers that are still in it. It is a cache: what is lost is decoded again.
 */
#include "stacks.h"

#define MEMTRACK_RULES_FIRST 1024u
#define MEMTRACK_RULES_MOST (1u << 20)
#define MEMTRACK_RULES_PROBES 8u
#define MEMTRACK_KEY_BUSY UINT64_C(1)

struct rule_slot {
    uint64_t key;
    uint64_t packed;
};

struct rule_table {
    uint64_t mask;
    struct rule_slot slots[];
};

static struct rule_table *current;

/* kind 3 bits, flags 3, module 16, rbp offset 18 (in words, signed), cfa offset 24 (signed) */
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

MEMTRACK_INLINE struct memtrack_rule unpack(uint64_t packed)
{
    struct memtrack_rule rule;
    rule.kind = packed & 7;
    rule.flags = (packed >> 3) & 7;
    rule.module_index = (uint16_t)(packed >> 6);
    rule.rbp_offset = (int32_t)((int64_t)(packed << 24) >> 46) * 8;
    rule.cfa_offset = (int32_t)((int64_t)packed >> 40);
    return rule;
}

MEMTRACK_INLINE uint64_t slot_of(uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 36;
}

static struct rule_table *grow(struct rule_table *old)
{
    uint64_t slots = old ? (old->mask + 1) * 2 : MEMTRACK_RULES_FIRST;
    if (slots > MEMTRACK_RULES_MOST)
        return NULL;
    struct rule_table *table = memtrack_map_private(sizeof(*table) + slots * sizeof(struct rule_slot));
    if (!table)
        return NULL;
    table->mask = slots - 1;
    if (__atomic_compare_exchange_n(&current, &old, table, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return table;
    return old; /* another thread grew it: ours costs address space alone */
}

static void insert(uint64_t key, uint64_t packed)
{
    struct rule_table *table = MEMTRACK_LOAD_ACQUIRE(&current);
    if (!table && !(table = grow(NULL)))
        return;
    for (int again = 0; again < 2; again++) {
        for (uint32_t i = 0; i < MEMTRACK_RULES_PROBES; i++) {
            struct rule_slot *slot = &table->slots[(slot_of(key) + i) & table->mask];
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
        table = grow(table);
        if (!table)
            return;
    }
}

static MEMTRACK_COLD struct memtrack_rule decode(uint64_t pc, bool exact, uint64_t key)
{
    struct memtrack_rule rule = {MEMTRACK_RULE_NONE, 0, MEMTRACK_MODULE_NONE, 0, 0};
    struct memtrack_object object;
    uint64_t lookup = exact ? pc : pc - 1;
    if (!memtrack_object_find(lookup, &object))
        return rule; /* code made at run time: not cached, a module may be mapped there later */
    memtrack_rule_decode(&object, lookup, &rule);
    rule.module_index = memtrack_module_index(&object);
    uint64_t packed;
    if (!pack(rule, &packed)) {
        rule.kind = MEMTRACK_RULE_FULL;
        rule.cfa_offset = rule.rbp_offset = 0;
        pack(rule, &packed);
    }
    insert(key, packed);
    return rule;
}

/* The rule at a return address, or at an exact pc. About 2 ns if known, else that of a decode. */
struct memtrack_rule memtrack_rule_for(uint64_t pc, bool exact)
{
    /* 47 bits of pc, 1 of exactness, 16 of generation; the top half is never 0, nor is the key BUSY */
    uint64_t generation = (memtrack_rt.region->module_generation % 0xfffe) + 1;
    uint64_t key = (pc & ((UINT64_C(1) << 47) - 1)) | (uint64_t)exact << 47 | generation << 48;
    const struct rule_table *table = MEMTRACK_LOAD_ACQUIRE(&current);
    if (MEMTRACK_LIKELY(table != NULL)) {
        for (uint32_t i = 0; i < MEMTRACK_RULES_PROBES; i++) {
            const struct rule_slot *slot = &table->slots[(slot_of(key) + i) & table->mask];
            uint64_t found = MEMTRACK_LOAD_ACQUIRE(&slot->key);
            if (found == key) {
                uint64_t packed = MEMTRACK_LOAD(&slot->packed);
                __atomic_thread_fence(__ATOMIC_ACQUIRE);
                if (MEMTRACK_LIKELY(MEMTRACK_LOAD(&slot->key) == key))
                    return unpack(packed);
            }
            if (found == 0)
                break;
        }
    }
    return decode(pc, exact, key);
}
