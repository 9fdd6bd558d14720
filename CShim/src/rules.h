/* SPDX-License-Identifier: Apache-2.0
 *
 * From a pc to its unwind rule, packed into 64 bits. See rules.c.
 */
#ifndef MEMTRACK_RULES_H
#define MEMTRACK_RULES_H

#include "stacks.h"

/* A packed rule: kind 3 bits, flags 3, module 16, rbp offset 18 (in words, signed), cfa offset 24 (signed) */
#define MEMTRACK_PACKED_FORM UINT64_C(0x3f) /* kind and flags */
#define MEMTRACK_PACKED_MODULE(packed) ((uint16_t)((packed) >> 6))
#define MEMTRACK_PACKED_CFA(packed) ((int64_t)(packed) >> 40)
#define MEMTRACK_PACKED_RBP(packed) (((int64_t)((packed) << 24) >> 46) * 8)

#define MEMTRACK_RULE_GENERATIONS 0x8000u

struct memtrack_rule_slot {
    uint64_t key;
    uint64_t packed;
};

struct memtrack_rule_table {
    uint64_t mask;
    struct memtrack_rule_slot slots[];
};

extern struct memtrack_rule_table *memtrack_rules __attribute__((visibility("hidden")));

uint64_t memtrack_rule_slow(uint64_t pc, bool exact, uint64_t key);

MEMTRACK_INLINE struct memtrack_rule memtrack_rule_unpack(uint64_t packed)
{
    struct memtrack_rule rule;
    rule.kind = packed & 7;
    rule.flags = (packed >> 3) & 7;
    rule.module_index = MEMTRACK_PACKED_MODULE(packed);
    rule.rbp_offset = (int32_t)MEMTRACK_PACKED_RBP(packed);
    rule.cfa_offset = (int32_t)MEMTRACK_PACKED_CFA(packed);
    return rule;
}

MEMTRACK_INLINE uint64_t memtrack_rule_slot(uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15)) >> 36;
}

/* The key that stands at a place; if it is the one asked for, *packed is its rule. */
MEMTRACK_INLINE uint64_t memtrack_rule_at(const struct memtrack_rule_table *table, uint64_t place, uint64_t key,
                                          uint64_t *packed)
{
    const struct memtrack_rule_slot *slot = &table->slots[place & table->mask];
    uint64_t found = MEMTRACK_LOAD_ACQUIRE(&slot->key);
    *packed = MEMTRACK_LOAD(&slot->packed);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return found == key && MEMTRACK_LOAD(&slot->key) != key ? 1 : found; /* just replaced: nobody's */
}

/* The packed rule at a return address, or at an exact pc. About 2 ns if known, else that of a decode. */
MEMTRACK_INLINE uint64_t memtrack_rule_packed(uint64_t pc, bool exact)
{
    /* 47 bits of pc, 1 of exactness, 16 of generation; the top half is never 0, nor is the key BUSY */
    uint64_t generation = memtrack_rt.region->module_generation % MEMTRACK_RULE_GENERATIONS + 1;
    uint64_t key = (pc & ((UINT64_C(1) << 47) - 1)) | (uint64_t)exact << 47 | generation << 48;
    const struct memtrack_rule_table *table = MEMTRACK_LOAD_ACQUIRE(&memtrack_rules);
    uint64_t packed;
    if (MEMTRACK_LIKELY(table && memtrack_rule_at(table, memtrack_rule_slot(key), key, &packed) == key))
        return packed;
    return memtrack_rule_slow(pc, exact, key);
}

#endif
