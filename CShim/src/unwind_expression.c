/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_expression.c - DWARF expressions, as far as call frame information may use them.
 *
 * A stack machine on 64-bit words (DWARF 5, chapter 2.5). Bounded in depth and in the number of operations
 * (a branch may go back); every word of memory comes from the machine's read function. Location
 * descriptions (pieces, call_frame_cfa, object addresses) have no meaning here and are refused.
 */
#include "unwind_cfi.h"

#define DEPTH 64
#define OPERATIONS 1024

enum {
    OP_ADDR = 0x03,
    OP_DEREF = 0x06,
    OP_CONST1U = 0x08,
    OP_CONST1S = 0x09,
    OP_CONST2U = 0x0a,
    OP_CONST2S = 0x0b,
    OP_CONST4U = 0x0c,
    OP_CONST4S = 0x0d,
    OP_CONST8U = 0x0e,
    OP_CONST8S = 0x0f,
    OP_CONSTU = 0x10,
    OP_CONSTS = 0x11,
    OP_DUP = 0x12,
    OP_DROP = 0x13,
    OP_OVER = 0x14,
    OP_PICK = 0x15,
    OP_SWAP = 0x16,
    OP_ROT = 0x17,
    OP_ABS = 0x19,
    OP_AND = 0x1a,
    OP_DIV = 0x1b,
    OP_MINUS = 0x1c,
    OP_MOD = 0x1d,
    OP_MUL = 0x1e,
    OP_NEG = 0x1f,
    OP_NOT = 0x20,
    OP_OR = 0x21,
    OP_PLUS = 0x22,
    OP_PLUS_UCONST = 0x23,
    OP_SHL = 0x24,
    OP_SHR = 0x25,
    OP_SHRA = 0x26,
    OP_XOR = 0x27,
    OP_BRA = 0x28,
    OP_EQ = 0x29,
    OP_GE = 0x2a,
    OP_GT = 0x2b,
    OP_LE = 0x2c,
    OP_LT = 0x2d,
    OP_NE = 0x2e,
    OP_SKIP = 0x2f,
    OP_LIT0 = 0x30,
    OP_LIT31 = 0x4f,
    OP_REG0 = 0x50,
    OP_REG31 = 0x6f,
    OP_BREG0 = 0x70,
    OP_BREG31 = 0x8f,
    OP_REGX = 0x90,
    OP_BREGX = 0x92,
    OP_DEREF_SIZE = 0x94,
    OP_NOP = 0x96,
};

struct run {
    struct memtrack_reader code;
    const struct memtrack_machine *machine;
    uintptr_t begin;
    unsigned depth;
    uint64_t stack[DEPTH];
};

static bool push(struct run *run, uint64_t value)
{
    if (run->depth == DEPTH)
        return false;
    run->stack[run->depth++] = value;
    return true;
}

static bool pick(struct run *run, unsigned from_top)
{
    return from_top < run->depth && push(run, run->stack[run->depth - 1 - from_top]);
}

static bool push_register(struct run *run, uint64_t number, int64_t offset)
{
    uint64_t value;
    return run->machine->get(run->machine->context, number, &value) && push(run, value + (uint64_t)offset);
}

static bool jump(struct run *run, int16_t distance)
{
    uintptr_t target = run->code.at + (uintptr_t)(intptr_t)distance;
    if (target < run->begin || target > run->code.end)
        return false;
    run->code.at = target;
    return true;
}

static bool dereference(struct run *run, unsigned bytes)
{
    if (run->depth == 0 || bytes == 0 || bytes > 8)
        return false;
    uint64_t *top = &run->stack[run->depth - 1], value;
    if (!run->machine->read(run->machine->context, *top, &value))
        return false;
    *top = bytes == 8 ? value : value & ((UINT64_C(1) << (8 * bytes)) - 1);
    return true;
}

static bool unary(struct run *run, uint8_t operation)
{
    if (run->depth == 0)
        return false;
    uint64_t *top = &run->stack[run->depth - 1];
    switch (operation) {
    case OP_ABS: *top = (int64_t)*top < 0 ? -*top : *top; return true;
    case OP_NEG: *top = -*top; return true;
    case OP_NOT: *top = ~*top; return true;
    case OP_PLUS_UCONST: *top += memtrack_reader_uleb(&run->code); return true;
    default: return false;
    }
}

/* Shifts of 64 and more give what an unbounded shift would. Division is signed, modulo unsigned (DWARF
 * leaves that open; as libgcc and gdb). */
static bool binary(struct run *run, uint8_t operation)
{
    if (run->depth < 2)
        return false;
    uint64_t right = run->stack[--run->depth], *top = &run->stack[run->depth - 1], left = *top;
    int64_t s_left = (int64_t)left, s_right = (int64_t)right;
    switch (operation) {
    case OP_AND: *top = left & right; return true;
    case OP_OR: *top = left | right; return true;
    case OP_XOR: *top = left ^ right; return true;
    case OP_PLUS: *top = left + right; return true;
    case OP_MINUS: *top = left - right; return true;
    case OP_MUL: *top = left * right; return true;
    case OP_DIV:
        if (right == 0)
            return false;
        *top = s_right == -1 ? -left : (uint64_t)(s_left / s_right);
        return true;
    case OP_MOD:
        if (right == 0)
            return false;
        *top = left % right;
        return true;
    case OP_SHL: *top = right > 63 ? 0 : left << right; return true;
    case OP_SHR: *top = right > 63 ? 0 : left >> right; return true;
    case OP_SHRA: *top = (uint64_t)(s_left >> (right > 63 ? 63 : right)); return true;
    case OP_EQ: *top = left == right; return true;
    case OP_NE: *top = left != right; return true;
    case OP_GE: *top = s_left >= s_right; return true;
    case OP_GT: *top = s_left > s_right; return true;
    case OP_LE: *top = s_left <= s_right; return true;
    case OP_LT: *top = s_left < s_right; return true;
    default: return false;
    }
}

static bool run_operation(struct run *run, uint8_t operation)
{
    struct memtrack_reader *code = &run->code;
    uint64_t number;
    if (operation >= OP_LIT0 && operation <= OP_LIT31)
        return push(run, operation - OP_LIT0);
    if (operation >= OP_REG0 && operation <= OP_REG31)
        return push_register(run, operation - OP_REG0, 0);
    if (operation >= OP_BREG0 && operation <= OP_BREG31)
        return push_register(run, operation - OP_BREG0, memtrack_reader_sleb(code));

    switch (operation) {
    case OP_NOP: return true;
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S: return push(run, memtrack_reader_u64(code));
    case OP_CONST1U: return push(run, memtrack_reader_u8(code));
    case OP_CONST1S: return push(run, (uint64_t)(int64_t)memtrack_reader_i8(code));
    case OP_CONST2U: return push(run, memtrack_reader_u16(code));
    case OP_CONST2S: return push(run, (uint64_t)(int64_t)memtrack_reader_i16(code));
    case OP_CONST4U: return push(run, memtrack_reader_u32(code));
    case OP_CONST4S: return push(run, (uint64_t)(int64_t)memtrack_reader_i32(code));
    case OP_CONSTU: return push(run, memtrack_reader_uleb(code));
    case OP_CONSTS: return push(run, (uint64_t)memtrack_reader_sleb(code));
    case OP_REGX: return push_register(run, memtrack_reader_uleb(code), 0);
    case OP_BREGX:
        number = memtrack_reader_uleb(code);
        return push_register(run, number, memtrack_reader_sleb(code));

    case OP_DUP: return pick(run, 0);
    case OP_OVER: return pick(run, 1);
    case OP_PICK: return pick(run, memtrack_reader_u8(code));
    case OP_DROP: return run->depth > 0 && run->depth--;
    case OP_SWAP:
    case OP_ROT: {
        unsigned last = operation == OP_SWAP ? 2 : 3; /* the top goes below `last - 1` others */
        if (run->depth < last)
            return false;
        uint64_t *top = &run->stack[run->depth - 1], value = *top;
        for (unsigned i = 0; i + 1 < last; i++)
            *(top - i) = *(top - i - 1);
        *(top - (last - 1)) = value;
        return true;
    }
    case OP_DEREF: return dereference(run, 8);
    case OP_DEREF_SIZE: return dereference(run, memtrack_reader_u8(code));
    case OP_SKIP: return jump(run, memtrack_reader_i16(code));
    case OP_BRA: {
        int16_t distance = memtrack_reader_i16(code);
        if (run->depth == 0)
            return false;
        return run->stack[--run->depth] == 0 || jump(run, distance);
    }
    case OP_ABS:
    case OP_NEG:
    case OP_NOT:
    case OP_PLUS_UCONST: return unary(run, operation);
    default: return binary(run, operation);
    }
}

bool memtrack_expression_run(struct memtrack_reader code, const struct memtrack_machine *machine,
                             const uint64_t *initial, uint64_t *result)
{
    struct run run;
    run.code = code;
    run.machine = machine;
    run.begin = code.at;
    run.depth = 0;
    if (code.failed || (initial && !push(&run, *initial)))
        return false;
    for (unsigned done = 0; run.code.at < run.code.end; done++) {
        if (done == OPERATIONS || !run_operation(&run, memtrack_reader_u8(&run.code)) || run.code.failed)
            return false;
    }
    if (run.depth == 0)
        return false;
    *result = run.stack[run.depth - 1];
    return true;
}
