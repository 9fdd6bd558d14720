/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_cases.c - hand-made .eh_frame sections and expressions, one property each.
 *
 * MODEL. A section is built in a buffer: header, search table of one entry, CIE, FDE, terminator. `struct
 * plan` says what is unusual about it; the code it describes is the imaginary range [CODE, CODE + 256) before
 * the buffer.
 * What the rule must be is written beside the plan. Nothing here is ever executed or read as a stack.
 */
#include <string.h>

#include "unwind_cfi.h"
#include "unwind_test.h"

#define SECTION 4096
static _Alignas(16) uint8_t memory[SECTION];
static uint8_t *cursor;
#define CODE ((uintptr_t)memory - 0x10000)

static void put(const void *bytes, size_t count)
{
    memcpy(cursor, bytes, count);
    cursor += count;
}

static void put_u8(uint8_t value) { put(&value, 1); }
static void put_u32(uint32_t value) { put(&value, 4); }
static void put_u64(uint64_t value) { put(&value, 8); }

struct bytes {
    const uint8_t *at;
    size_t count;
};
#define BYTES(...) {(const uint8_t[]){__VA_ARGS__}, sizeof(uint8_t[]){__VA_ARGS__}}

struct plan {
    const char *name;
    struct bytes program;      /* of the FDE */
    const char *augmentation;  /* NULL: "zR" */
    struct bytes augmented;    /* its data; if not given: 0x1b, pcrel|sdata4 */
    uint8_t version;           /* 0: 1 */
    uint8_t table;             /* encoding of the search table, 0: the usual one */
    uint8_t pointers;          /* encoding of the FDE's addresses, 0: 0x1b */
    bool absolute;             /* addresses are 8 bytes, absolute, whatever `pointers` says */
    bool wide;                 /* records with 64-bit lengths */
    bool early_end;            /* a terminator ahead of the FDE */
    uint32_t count;            /* entries claimed by the table, 0: 1 */
    struct bytes initial;      /* of the CIE; if not given: CFA = rsp + 8, return address at CFA - 8 */
};

static uint8_t *begin_record(const struct plan *plan)
{
    if (plan->wide) {
        put_u32(0xffffffff);
        put_u64(0);
    } else {
        put_u32(0);
    }
    return cursor;
}

static void end_record(const struct plan *plan, uint8_t *body)
{
    while ((cursor - memory) % 8)
        put_u8(0);
    uint64_t bytes = (uint64_t)(cursor - body);
    memcpy(body - (plan->wide ? 8 : 4), &bytes, plan->wide ? 8 : 4);
}

static void put_address(const struct plan *plan, uintptr_t address)
{
    if (plan->absolute)
        put_u64(address);
    else if (plan->pointers == 0x1c || plan->pointers == 0x14)
        put_u64(address - (uintptr_t)cursor);
    else
        put_u32((uint32_t)(address - (uintptr_t)cursor));
}

static struct memtrack_object build(const struct plan *plan)
{
    const struct bytes usual_initial = BYTES(0x0c, 7, 8, 0x90, 1);
    memset(memory, 0, sizeof memory);
    cursor = memory;
    put_u8(1);
    put_u8(0x1b);
    put_u8(plan->table == 0xff ? 0xff : 0x03);
    put_u8(plan->table ? plan->table : 0x3b);
    uint8_t *table = cursor;
    cursor += 16 + 4; /* pointer, count, one entry; aligned */

    uint8_t *section = cursor, *cie = cursor;
    uint8_t *body = begin_record(plan);
    const char *augmentation = plan->augmentation ? plan->augmentation : "zR";
    put_u32(0);
    put_u8(plan->version ? plan->version : 1);
    put(augmentation, strlen(augmentation) + 1);
    if (plan->version == 4) {
        put_u8(8);
        put_u8(0);
    }
    put_u8(1);    /* code factor */
    put_u8(0x78); /* data factor -8 */
    put_u8(16);   /* return column */
    if (augmentation[0] == 'z') {
        uint8_t usual = plan->pointers ? plan->pointers : 0x1b;
        struct bytes data = plan->augmented.at ? plan->augmented : (struct bytes){&usual, 1};
        put_u8((uint8_t)data.count);
        put(data.at, data.count);
    }
    struct bytes initial = plan->initial.at ? plan->initial : usual_initial;
    put(initial.at, initial.count);
    end_record(plan, body);
    if (plan->early_end)
        put_u32(0);

    uint8_t *fde = cursor;
    body = begin_record(plan);
    put_u32((uint32_t)(cursor - cie));
    put_address(plan, CODE);
    if (plan->absolute || plan->pointers == 0x1c || plan->pointers == 0x14)
        put_u64(256);
    else
        put_u32(256);
    if (augmentation[0] == 'z')
        put_u8(0);
    put(plan->program.at, plan->program.count);
    end_record(plan, body);
    put_u32(0);
    uint8_t *end = cursor;

    cursor = table;
    put_u32((uint32_t)(section - cursor));
    put_u32(plan->count ? plan->count : 1);
    put_u32((uint32_t)(CODE - (uintptr_t)memory));
    put_u32((uint32_t)(fde - memory));
    uintptr_t start = (uintptr_t)memory;
    memtrack_cfi_generation++; /* another image at the same address */
    return (struct memtrack_object){.eh_frame_hdr = memory, .start = start, .end = (uintptr_t)end};
}

struct expected {
    int at; /* offset in the code */
    uint8_t kind, flags;
    int32_t cfa, rbp;
};

static void expect(const struct plan *plan, struct expected expected)
{
    struct memtrack_object object = build(plan);
    struct memtrack_rule rule;
    memtrack_rule_decode(&object, CODE + (uintptr_t)(intptr_t)expected.at, &rule);
    bool offsets = expected.kind != MEMTRACK_RULE_RSP && expected.kind != MEMTRACK_RULE_RBP
                && expected.kind != MEMTRACK_RULE_RBP_DEREF;
    check(rule.kind == expected.kind && rule.flags == expected.flags
              && (offsets || (rule.cfa_offset == expected.cfa && rule.rbp_offset == expected.rbp)),
          "%s, at %d: kind %d flags %d cfa %d rbp %d", plan->name, expected.at, rule.kind, rule.flags,
          rule.cfa_offset, rule.rbp_offset);
}

#define RULE(...) ((struct expected){__VA_ARGS__})
#define RSP(at, cfa) RULE(at, MEMTRACK_RULE_RSP, 0, cfa, 0)
#define PLAIN RSP(5, 16)
#define FULL RULE(5, MEMTRACK_RULE_FULL, 0, 0, 0)
#define PUSH 0x41, 0x0e, 16 /* advance 1, def_cfa_offset 16 */
#define EXPECT(expected, title, code, ...) \
    expect(&(struct plan){.name = title, .program = code, __VA_ARGS__}, expected)

static void records(void)
{
    EXPECT(RSP(0, 8), "before the first row", BYTES(PUSH));
    EXPECT(PLAIN, "after it", BYTES(PUSH));
    EXPECT(RSP(255, 16), "last byte", BYTES(PUSH));
    EXPECT(RULE(256, MEMTRACK_RULE_NONE, 0, 0, 0), "behind the function", BYTES(PUSH));
    EXPECT(RULE(-1, MEMTRACK_RULE_END, 0, 0, 0), "returned into", BYTES(PUSH));
    EXPECT(RULE(-2, MEMTRACK_RULE_NONE, 0, 0, 0), "before the function", BYTES(PUSH));
    EXPECT(PLAIN, "version 3", BYTES(PUSH), .version = 3);
    EXPECT(PLAIN, "version 4", BYTES(PUSH), .version = 4);
    EXPECT(FULL, "version 2", BYTES(PUSH), .version = 2);
    EXPECT(PLAIN, "64-bit lengths", BYTES(PUSH), .wide = true);
    EXPECT(PLAIN, "no augmentation", BYTES(PUSH), .augmentation = "", .absolute = true);
    EXPECT(PLAIN, "absolute", BYTES(PUSH), .augmented = BYTES(0x00), .absolute = true);
    EXPECT(PLAIN, "udata8, absolute", BYTES(PUSH), .augmented = BYTES(0x04), .absolute = true);
    EXPECT(PLAIN, "pcrel sdata8", BYTES(PUSH), .pointers = 0x1c);
    EXPECT(PLAIN, "pcrel udata8", BYTES(PUSH), .pointers = 0x14);
    EXPECT(FULL, "indirect", BYTES(PUSH), .pointers = 0x9b);
    EXPECT(FULL, "text-relative", BYTES(PUSH), .pointers = 0x2b);
    EXPECT(FULL, "no such encoding", BYTES(PUSH), .pointers = 0x1f);
    EXPECT(RULE(5, MEMTRACK_RULE_RSP, MEMTRACK_RULE_SIGNAL, 16, 0), "signal", BYTES(PUSH),
           .augmentation = "zRS");
    EXPECT(PLAIN, "personality first", BYTES(PUSH), .augmentation = "zPLR",
           .augmented = BYTES(0x9b, 1, 2, 3, 4, 0x1b, 0x1b));
    EXPECT(PLAIN, "uleb personality", BYTES(PUSH), .augmentation = "zPR",
           .augmented = BYTES(0x01, 0x80, 0x80, 1, 0x1b));
    EXPECT(PLAIN, "no personality", BYTES(PUSH), .augmentation = "zPR", .augmented = BYTES(0xff, 0x1b));
    EXPECT(PLAIN, "B", BYTES(PUSH), .augmentation = "zRB");
    EXPECT(FULL, "unknown letter", BYTES(PUSH), .augmentation = "zRx");
    EXPECT(FULL, "old eh", BYTES(PUSH), .augmentation = "eh");
    EXPECT(FULL, "short data", BYTES(PUSH), .augmentation = "zPR", .augmented = BYTES(0x1b, 1, 2));
    EXPECT(PLAIN, "no table", BYTES(PUSH), .table = 0xff);
    EXPECT(RULE(300, MEMTRACK_RULE_NONE, 0, 0, 0), "no table, outside", BYTES(PUSH), .table = 0xff);
    EXPECT(RULE(5, MEMTRACK_RULE_NONE, 0, 0, 0), "no table, terminator", BYTES(PUSH),
           .table = 0xff, .early_end = true);
    EXPECT(PLAIN, "other table", BYTES(PUSH), .table = 0x1b);
    EXPECT(FULL, "table too long", BYTES(PUSH), .count = 1000);
    EXPECT(FULL, "huge table", BYTES(PUSH), .count = 0xffffffff);
}

static void operations(void)
{
    EXPECT(RULE(9, MEMTRACK_RULE_RBP, 1, 16, -16), "frame pointer", BYTES(PUSH, 0x86, 2, 0x43, 0x0d, 6));
    EXPECT(PLAIN, "advance_loc1", BYTES(0x02, 5, 0x0e, 16));
    EXPECT(PLAIN, "advance_loc2", BYTES(0x03, 5, 0, 0x0e, 16));
    EXPECT(PLAIN, "advance_loc4", BYTES(0x04, 5, 0, 0, 0, 0x0e, 16));
    EXPECT(PLAIN, "advance_loc8", BYTES(0x1d, 5, 0, 0, 0, 0, 0, 0, 0, 0x0e, 16));
    EXPECT(RSP(5, 8), "advance_loc1 beyond", BYTES(0x02, 6, 0x0e, 16));
    EXPECT(PLAIN, "def_cfa_sf", BYTES(0x12, 7, 0x7e));
    EXPECT(PLAIN, "def_cfa_offset_sf", BYTES(0x13, 0x7e));
    EXPECT(RULE(5, MEMTRACK_RULE_RSP, 1, 8, -24), "offset_extended", BYTES(0x05, 6, 3));
    EXPECT(RULE(5, MEMTRACK_RULE_RSP, 1, 8, 24), "offset_extended_sf", BYTES(0x11, 6, 0x7d));
    EXPECT(RULE(5, MEMTRACK_RULE_RSP, 1, 8, 24), "negative offset", BYTES(0x2f, 6, 3));
    EXPECT(RSP(5, 8), "restore", BYTES(0x86, 2, 0xc6));
    EXPECT(RSP(5, 8), "restore_extended", BYTES(0x86, 2, 0x06, 6));
    EXPECT(RSP(5, 8), "same_value", BYTES(0x86, 2, 0x08, 6));
    EXPECT(PLAIN, "args size, window save", BYTES(0x2e, 0x90, 1, 0x2d, 0x0e, 16));
    EXPECT(PLAIN, "vector register", BYTES(0x05, 33, 3, 0x07, 40, 0x0e, 16));
    EXPECT(RSP(5, 8), "remembered", BYTES(0x0a, 0x86, 2, 0x0e, 64, 0x0b));
    EXPECT(PLAIN, "remembered 8 deep", BYTES(0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0e, 16));
    EXPECT(FULL, "remembered 9 deep", BYTES(0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a, 0x0a));
    EXPECT(FULL, "nothing remembered", BYTES(0x0b));
    EXPECT(FULL, "unknown operation", BYTES(0x3f));
    EXPECT(FULL, "no CFA", BYTES(0), .initial = BYTES(0x90, 1));
    EXPECT(FULL, "restore in a CIE", BYTES(0), .initial = BYTES(0x0c, 7, 8, 0x90, 1, 0xc6));
    EXPECT(FULL, "rbp undefined", BYTES(0x07, 6));
    EXPECT(FULL, "rbp in rbx", BYTES(0x09, 6, 3));
    EXPECT(FULL, "rbp by value", BYTES(0x14, 6, 3));
    EXPECT(FULL, "rsp by value", BYTES(0x14, 7, 3));
    EXPECT(PLAIN, "rsp is the CFA", BYTES(0x14, 7, 0, 0x0e, 16));
    EXPECT(FULL, "return address elsewhere", BYTES(0x90, 2));
    EXPECT(FULL, "return address in a register", BYTES(0x09, 16, 0));
    EXPECT(RULE(5, MEMTRACK_RULE_END, 0, 0, 0), "return address undefined", BYTES(0x07, 16));
    EXPECT(FULL, "CFA from rbx", BYTES(0x0d, 3));
    EXPECT(FULL, "offset beyond 32 bits", BYTES(0x0e, 0xff, 0xff, 0xff, 0xff, 0x7f));
    EXPECT(FULL, "register beyond 16 bits", BYTES(0x0d, 0xff, 0xff, 0x7f));
    EXPECT(FULL, "expression longer than the section", BYTES(0x0f, 0xff, 0x7f));
}

static void patterns(void)
{
    EXPECT(RULE(5, MEMTRACK_RULE_RBP_DEREF, 2, -8, 0), "realigned",
           BYTES(0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0));
    EXPECT(RULE(5, MEMTRACK_RULE_RBP, 0, 16, 0), "rbp expression", BYTES(0x0f, 2, 0x76, 16));
    EXPECT(PLAIN, "rsp expression", BYTES(0x0f, 2, 0x77, 16));
    EXPECT(FULL, "*rsp", BYTES(0x0f, 3, 0x77, 8, 0x06));
    EXPECT(FULL, "*rbp + 8", BYTES(0x0f, 5, 0x76, 8, 0x06, 0x23, 8));
    EXPECT(FULL, "rbp at *rbp", BYTES(0x10, 6, 3, 0x76, 8, 0x06));
    struct plan plt = {
        .name = "PLT",
        .program = BYTES(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22),
    };
    for (unsigned i = 0; i < 32; i++)
        expect(&plt, RSP((int)i, ((CODE + i) & 15) >= 11 ? 16 : 8));
    EXPECT(FULL, "nearly a PLT", BYTES(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2b, 0x33, 0x24, 0x22));
    EXPECT(FULL, "PLT with threshold 32",
           BYTES(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x50, 0x2a, 0x33, 0x24, 0x22));
}

/* Every prefix of a good section: nothing may be read behind the end, and no rule may appear from nowhere. */
static void truncations(void)
{
    struct plan plan = {.name = "truncated", .program = BYTES(PUSH, 0x86, 2, 0x0a, 0x0b)};
    struct memtrack_object object = build(&plan);
    uintptr_t end = object.end;
    for (object.end = object.start + 1; object.end < end - 4; object.end++) {
        struct memtrack_rule rule;
        memtrack_cfi_generation++;
        memtrack_rule_decode(&object, CODE + 5, &rule);
        check(rule.kind == MEMTRACK_RULE_FULL, "truncated to %u bytes: kind %d",
              (unsigned)(object.end - object.start), rule.kind);
    }
    object.eh_frame_hdr = NULL;
    struct memtrack_rule rule;
    memtrack_rule_decode(&object, CODE + 5, &rule);
    check(rule.kind == MEMTRACK_RULE_NONE, "no header: kind %d", rule.kind);
    object.eh_frame_hdr = (const void *)16;
    memtrack_rule_decode(&object, CODE + 5, &rule);
    check(rule.kind == MEMTRACK_RULE_FULL, "header outside: kind %d", rule.kind);
}

/* ---- expressions: register n holds 1000 n, memory at a holds a + 0x0102030405060708 ---- */

static bool get_register(void *context, uint64_t number, uint64_t *value)
{
    (void)context;
    *value = number * 1000;
    return number < MEMTRACK_REGISTERS;
}

static bool read_word(void *context, uint64_t address, uint64_t *value)
{
    (void)context;
    *value = address + UINT64_C(0x0102030405060708);
    return address != 0;
}

static bool evaluate(struct bytes code, uint64_t *result)
{
    struct memtrack_machine machine = {.get = get_register, .read = read_word};
    struct memtrack_reader reader = {.at = (uintptr_t)code.at, .end = (uintptr_t)code.at + code.count};
    return memtrack_expression_run(reader, &machine, NULL, result);
}

#define GIVES(value, ...)                                                                             \
    do {                                                                                              \
        uint64_t result = 0;                                                                          \
        bool good = evaluate((struct bytes)BYTES(__VA_ARGS__), &result);                              \
        check(good && result == (uint64_t)(value), "%s: %d %#lx", #__VA_ARGS__, good,                 \
              (unsigned long)result);                                                                 \
    } while (0)
#define REFUSED(...)                                                                                  \
    do {                                                                                              \
        uint64_t result = 0;                                                                          \
        check(!evaluate((struct bytes)BYTES(__VA_ARGS__), &result), "%s: not refused", #__VA_ARGS__); \
    } while (0)

static void expressions(void)
{
    GIVES(0x1122334455667788, 0x03, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11);
    GIVES(0xff, 0x08, 0xff);
    GIVES(-1, 0x09, 0xff);
    GIVES(0xfffe, 0x0a, 0xfe, 0xff);
    GIVES(-2, 0x0b, 0xfe, 0xff);
    GIVES(0xfffffffe, 0x0c, 0xfe, 0xff, 0xff, 0xff);
    GIVES(-2, 0x0d, 0xfe, 0xff, 0xff, 0xff);
    GIVES(300, 0x10, 0xac, 0x02);
    GIVES(-300, 0x11, 0xd4, 0x7d);
    GIVES(6, 0x33, 0x12, 0x22);             /* 3 dup plus */
    GIVES(3, 0x33, 0x34, 0x13);             /* 3 4 drop */
    GIVES(3, 0x33, 0x34, 0x14);             /* 3 4 over */
    GIVES(3, 0x33, 0x34, 0x35, 0x15, 2);    /* 3 4 5 pick 2 */
    GIVES(1, 0x33, 0x34, 0x16, 0x1c);       /* 3 4 swap minus */
    GIVES(-4, 0x31, 0x35, 0x39, 0x17, 0x1c);/* 1 5 9 rot: 9 1 5, minus */
    GIVES(5, 0x11, 0x7b, 0x19);             /* abs -5 */
    GIVES(-2, 0x11, 0x79, 0x33, 0x1b);      /* -7 / 3 */
    GIVES(1, 0x37, 0x33, 0x1d);             /* 7 mod 3 */
    GIVES(21, 0x37, 0x33, 0x1e);
    GIVES(-7, 0x37, 0x1f);
    GIVES(-8, 0x37, 0x20);
    GIVES(7, 0x35, 0x32, 0x21);
    GIVES(107, 0x37, 0x23, 100);
    GIVES(8, 0x31, 0x33, 0x24);
    GIVES(0, 0x31, 0x08, 64, 0x24);
    GIVES(1, 0x38, 0x33, 0x25);
    GIVES(-1, 0x11, 0x7f, 0x08, 200, 0x26);
    GIVES(6, 0x35, 0x33, 0x27);
    GIVES(1, 0x11, 0x7f, 0x31, 0x2d);       /* -1 < 1 is signed */
    GIVES(1, 0x33, 0x33, 0x2a);
    GIVES(2, 0x32, 0x31, 0x28, 1, 0, 0x33); /* bra over a lit3 */
    GIVES(2, 0x32, 0x2f, 1, 0, 0x33);       /* skip */
    GIVES(6008, 0x76, 8);
    GIVES(5992, 0x76, 0x78);
    GIVES(7000, 0x57);
    GIVES(7008, 0x92, 7, 8);
    GIVES(UINT64_C(0x0102030405060708) + 7008, 0x77, 8, 0x06);
    GIVES((0x0708 + 7008) & 0xffff, 0x77, 8, 0x94, 2);
    REFUSED(0x96);
    REFUSED(0x22);
    REFUSED(0x31, 0x22);
    REFUSED(0x31, 0x30, 0x1b);
    REFUSED(0x31, 0x30, 0x1d);
    REFUSED(0x30, 0x06);
    REFUSED(0x31, 0x94, 9);
    REFUSED(0x31, 0x94, 0);
    REFUSED(0x31, 0x15, 1);
    REFUSED(0x90, 17);
    REFUSED(0x31, 0x2f, 0xfc, 0xff);        /* for ever: skip to the lit1 */
    REFUSED(0x31, 0x2f, 0xfd, 0xff);        /* for ever: skip to itself */
    REFUSED(0x31, 0x2f, 0x00, 0x01);
    REFUSED(0x31, 0x2f, 0x00, 0x80);
    REFUSED(0x0e, 1, 2, 3);
    REFUSED(0x10, 0x80);
    REFUSED(0x9c);
    REFUSED(0xf1);
    /* INT64_MIN / -1 */
    GIVES(INT64_MIN, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x11, 0x7f, 0x1b);
    uint8_t deep[65];
    uint64_t result;
    memset(deep, 0x31, sizeof deep);
    check(evaluate((struct bytes){deep, 64}, &result), "64 deep");
    check(!evaluate((struct bytes){deep, 65}, &result), "65 deep");
}

int main(void)
{
    records();
    operations();
    patterns();
    truncations();
    expressions();
    return tally_end("unwind_cases");
}
