/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_rule.c - a row, reduced to the compact rule.
 *
 * A compact rule knows rsp, rbp and the return address, so it fits a row that needs no other register.
 * Four expressions are understood, by their bytes, because compilers and linkers write them into ordinary
 * code: rsp + n, rbp + n, *(rbp + n) (a realigned stack), and the linker's description of a PLT.
 */
#include "unwind_cfi.h"

#if defined(__x86_64__)

/* A register and a constant, `DW_OP_breg<number> <offset>`; the reader is left behind it. */
static bool match_base(struct memtrack_reader *code, unsigned number, int32_t *offset)
{
    struct memtrack_reader trial = *code;
    if (memtrack_reader_u8(&trial) != 0x70 + number)
        return false;
    int64_t value = memtrack_reader_sleb(&trial);
    if (trial.failed || value != (int32_t)value)
        return false;
    *offset = (int32_t)value;
    *code = trial;
    return true;
}

/* ld's and lld's PLT entries of 16 bytes: CFA = rsp + 8 + ((ip & 15) >= n ? 8 : 0), `n` bytes being the
 * code up to and with the push. breg7 8; breg16 0; lit15; and; lit<n>; ge; lit3; shl; plus. */
static bool match_plt(struct memtrack_reader code, uintptr_t pc, int32_t *offset)
{
    static const uint8_t pattern[] = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0x00, 0x2a, 0x33, 0x24, 0x22};
    if (code.end - code.at != sizeof pattern)
        return false;
    uint8_t threshold = 0;
    for (unsigned i = 0; i < sizeof pattern; i++) {
        uint8_t byte = memtrack_reader_u8(&code);
        if (i == 6)
            threshold = byte - 0x30;
        else if (byte != pattern[i])
            return false;
    }
    if (threshold > 31)
        return false;
    *offset = (pc & 15) >= threshold ? 16 : 8;
    return true;
}

static enum memtrack_rule_kind reduce_cfa(const struct memtrack_object *object,
                                          const struct memtrack_frame *frame, uintptr_t pc, int32_t *offset)
{
    const struct memtrack_row *row = &frame->row;
    if (row->cfa_form == MEMTRACK_CFA_REGISTER) {
        *offset = row->cfa_value;
        if (row->cfa_register == MEMTRACK_REG_RSP)
            return MEMTRACK_RULE_RSP;
        return row->cfa_register == MEMTRACK_REG_RBP ? MEMTRACK_RULE_RBP : MEMTRACK_RULE_FULL;
    }
    if (row->cfa_form != MEMTRACK_CFA_EXPRESSION)
        return MEMTRACK_RULE_FULL;
    struct memtrack_reader code = memtrack_frame_expression(object, frame, row->cfa_value);
    if (code.failed)
        return MEMTRACK_RULE_FULL;
    if (match_plt(code, pc, offset))
        return MEMTRACK_RULE_RSP;
    if (match_base(&code, MEMTRACK_REG_RSP, offset))
        return code.at == code.end ? MEMTRACK_RULE_RSP : MEMTRACK_RULE_FULL;
    if (!match_base(&code, MEMTRACK_REG_RBP, offset))
        return MEMTRACK_RULE_FULL;
    if (code.at == code.end)
        return MEMTRACK_RULE_RBP;
    bool deref = memtrack_reader_u8(&code) == 0x06 && code.at == code.end;
    return deref ? MEMTRACK_RULE_RBP_DEREF : MEMTRACK_RULE_FULL;
}

static bool reduce_rbp(const struct memtrack_object *object, const struct memtrack_frame *frame,
                       struct memtrack_rule *out)
{
    int32_t value = frame->row.value[MEMTRACK_REG_RBP];
    switch (frame->row.where[MEMTRACK_REG_RBP]) {
    case MEMTRACK_WHERE_UNSAID:
    case MEMTRACK_WHERE_SAME: return true;
    case MEMTRACK_WHERE_AT_CFA:
        out->flags |= MEMTRACK_RULE_RBP_AT_CFA;
        out->rbp_offset = value;
        return true;
    case MEMTRACK_WHERE_AT_RESULT: {
        struct memtrack_reader code = memtrack_frame_expression(object, frame, value);
        out->flags |= MEMTRACK_RULE_RBP_AT_RBP;
        return !code.failed && match_base(&code, MEMTRACK_REG_RBP, &out->rbp_offset) && code.at == code.end;
    }
    default: return false;
    }
}

/* False: only the full unwinder can follow this row. */
static bool reduce(const struct memtrack_object *object, const struct memtrack_frame *frame, uintptr_t pc,
                   struct memtrack_rule *out)
{
    const struct memtrack_row *row = &frame->row;
    if (row->where[frame->return_column] == MEMTRACK_WHERE_UNDEFINED) {
        out->kind = MEMTRACK_RULE_END;
        return true;
    }
    if (frame->return_column != MEMTRACK_REG_IP || row->where[MEMTRACK_REG_IP] != MEMTRACK_WHERE_AT_CFA
        || row->value[MEMTRACK_REG_IP] != -8)
        return false;
    bool rsp_is_cfa = row->where[MEMTRACK_REG_RSP] == MEMTRACK_WHERE_UNSAID
                   || (row->where[MEMTRACK_REG_RSP] == MEMTRACK_WHERE_IS_CFA
                       && row->value[MEMTRACK_REG_RSP] == 0);
    if (!rsp_is_cfa || !reduce_rbp(object, frame, out))
        return false;
    out->kind = (uint8_t)reduce_cfa(object, frame, pc, &out->cfa_offset);
    return out->kind != MEMTRACK_RULE_FULL;
}

void memtrack_rule_decode(const struct memtrack_object *object, uintptr_t pc, struct memtrack_rule *out)
{
    struct memtrack_frame frame;
    *out = (struct memtrack_rule){.kind = MEMTRACK_RULE_NONE};
    switch (memtrack_frame_find(object, pc, &frame)) {
    case MEMTRACK_LOOKUP_ABSENT: return;
    case MEMTRACK_LOOKUP_BROKEN: out->kind = MEMTRACK_RULE_FULL; return;
    case MEMTRACK_LOOKUP_FOUND: break;
    }
    if (!reduce(object, &frame, pc, out))
        *out = (struct memtrack_rule){.kind = MEMTRACK_RULE_FULL};
    if (frame.signal)
        out->flags |= MEMTRACK_RULE_SIGNAL;
}

#else

void memtrack_rule_decode(const struct memtrack_object *object, uintptr_t pc, struct memtrack_rule *out)
{
    (void)object;
    (void)pc;
    *out = (struct memtrack_rule){.kind = MEMTRACK_RULE_NONE};
}

#endif
