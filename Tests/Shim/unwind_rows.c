/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_rows.c - every row of whole ELF files, compared with elfutils' decoder.
 *
 * usage: unwind_rows FILE...      (a file that does not exist is passed over)
 *
 * MODEL. For each FDE in the file's search table, and each row of it (as libdw delimits them), the first
 * and last pc and one in between are decoded. Rows are compared by what they mean: all registers get random
 * values, memory is a hash of the address, and both sides must give the same CFA and for each of the 17
 * registers the same (unchanged | undefined | saved at address | is value). The compact rule must agree
 * with that as well, and may say "full unwinder" only where its form cannot express the row. Addresses
 * that no FDE covers must have no rule (but the last one before a function is its bottom frame, if anything).
 */
#include <elfutils/libdw.h>
#include <dwarf.h>
#include <stdlib.h>
#include <time.h>

#include "unwind_cfi.h"
#include "unwind_image.h"
#include "unwind_test.h"

enum form { UNCHANGED, UNDEFINED, SAVED_AT, IS_VALUE, UNKNOWN };

struct place {
    enum form form;
    uint64_t value;
};

struct meaning {
    uint64_t cfa;
    struct place place[MEMTRACK_REGISTERS];
};

static uint64_t registers[MEMTRACK_REGISTERS];

static bool get_register(void *context, uint64_t number, uint64_t *value)
{
    (void)context;
    if (number >= MEMTRACK_REGISTERS)
        return false;
    *value = registers[number];
    return true;
}

static bool read_word(void *context, uint64_t address, uint64_t *value)
{
    (void)context;
    *value = mix(address);
    return true;
}

/* ---- the oracle ---- */

/* As many operations as the wild has; an unknown one ends the program, so that it gets noticed. */
static uint64_t evaluate(const Dwarf_Op *ops, size_t count, const uint64_t *cfa)
{
    uint64_t stack[64];
    int top = -1;
    if (count > 0 && cfa && ops[0].atom != DW_OP_call_frame_cfa)
        stack[++top] = *cfa;
    for (size_t i = 0; i < count; i++) {
        uint8_t atom = ops[i].atom;
        uint64_t number = ops[i].number;
        if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
            stack[++top] = atom - DW_OP_lit0;
            continue;
        }
        if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31) {
            stack[++top] = registers[atom - DW_OP_breg0] + number;
            continue;
        }
        switch (atom) {
        case DW_OP_call_frame_cfa: stack[++top] = *cfa; break;
        case DW_OP_bregx: stack[++top] = registers[number] + ops[i].number2; break;
        case DW_OP_const1u:
        case DW_OP_const1s:
        case DW_OP_const2u:
        case DW_OP_const2s:
        case DW_OP_const4u:
        case DW_OP_const4s:
        case DW_OP_constu:
        case DW_OP_consts: stack[++top] = number; break;
        case DW_OP_deref: stack[top] = mix(stack[top]); break;
        case DW_OP_plus_uconst: stack[top] += number; break;
        case DW_OP_plus: top--; stack[top] += stack[top + 1]; break;
        case DW_OP_minus: top--; stack[top] -= stack[top + 1]; break;
        case DW_OP_mul: top--; stack[top] *= stack[top + 1]; break;
        case DW_OP_neg: stack[top] = -stack[top]; break;
        case DW_OP_and: top--; stack[top] &= stack[top + 1]; break;
        case DW_OP_shl: top--; stack[top] <<= stack[top + 1]; break;
        case DW_OP_ge: top--; stack[top] = (int64_t)stack[top] >= (int64_t)stack[top + 1]; break;
        case DW_OP_nop:
        case DW_OP_stack_value: break;
        default: fprintf(stderr, "unwind_rows: operation 0x%x is new here\n", atom); exit(2);
        }
    }
    return stack[top];
}

/* What libdw makes of the row. */
static bool oracle(Dwarf_Frame *frame, struct meaning *out)
{
    Dwarf_Op *ops, memory[3];
    size_t count;
    if (dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0)
        return false;
    out->cfa = evaluate(ops, count, NULL);
    for (unsigned i = 0; i < MEMTRACK_REGISTERS; i++) {
        struct place *place = &out->place[i];
        if (dwarf_frame_register(frame, (int)i, memory, &ops, &count) != 0)
            return false;
        if (count == 0) {
            *place = (struct place){.form = ops == memory ? UNDEFINED : UNCHANGED};
        } else if (count == 1 && ops[0].atom == DW_OP_regx) {
            *place = (struct place){IS_VALUE, registers[ops[0].number]};
        } else {
            bool computed = ops[count - 1].atom == DW_OP_stack_value;
            *place = (struct place){computed ? IS_VALUE : SAVED_AT, evaluate(ops, count, &out->cfa)};
        }
    }
    return true;
}

/* ---- ours ---- */

static bool expression(const struct memtrack_object *object, const struct memtrack_frame *frame,
                       int32_t position, const uint64_t *initial, uint64_t *result)
{
    struct memtrack_machine machine = {.get = get_register, .read = read_word};
    return memtrack_expression_run(memtrack_frame_expression(object, frame, position), &machine, initial,
                                   result);
}

static bool ours(const struct memtrack_object *object, const struct memtrack_frame *frame,
                 struct meaning *out)
{
    const struct memtrack_row *row = &frame->row;
    if (row->cfa_form == MEMTRACK_CFA_EXPRESSION) {
        if (!expression(object, frame, row->cfa_value, NULL, &out->cfa))
            return false;
    } else if (row->cfa_form == MEMTRACK_CFA_REGISTER && row->cfa_register < MEMTRACK_REGISTERS) {
        out->cfa = registers[row->cfa_register] + (uint64_t)(int64_t)row->cfa_value;
    } else {
        return false;
    }
    for (unsigned i = 0; i < MEMTRACK_REGISTERS; i++) {
        struct place *place = &out->place[i];
        uint64_t moved = out->cfa + (uint64_t)(int64_t)row->value[i];
        *place = (struct place){.form = UNCHANGED};
        switch (row->where[i]) {
        case MEMTRACK_WHERE_UNSAID:
            if (i == MEMTRACK_REG_RSP)
                *place = (struct place){IS_VALUE, out->cfa};
            break;
        case MEMTRACK_WHERE_SAME: break;
        case MEMTRACK_WHERE_UNDEFINED: place->form = UNDEFINED; break;
        case MEMTRACK_WHERE_AT_CFA: *place = (struct place){SAVED_AT, moved}; break;
        case MEMTRACK_WHERE_IS_CFA: *place = (struct place){IS_VALUE, moved}; break;
        case MEMTRACK_WHERE_REGISTER:
            *place = (struct place){IS_VALUE, registers[row->value[i] % (int)MEMTRACK_REGISTERS]};
            break;
        default:
            place->form = row->where[i] == MEMTRACK_WHERE_AT_RESULT ? SAVED_AT : IS_VALUE;
            if (!expression(object, frame, row->value[i], &out->cfa, &place->value))
                return false;
        }
    }
    return true;
}

/* libdw fills in the ABI for registers that the CFI leaves unsaid: call-clobbered ones are undefined. */
static bool same_place(const struct memtrack_frame *frame, unsigned number, struct place a, struct place b)
{
    if (frame->row.where[number] == MEMTRACK_WHERE_UNSAID && a.form == UNCHANGED && b.form == UNDEFINED)
        return true;
    return a.form == b.form && (a.form == UNCHANGED || a.form == UNDEFINED || a.value == b.value);
}

static unsigned long kinds[MEMTRACK_RULE_FULL + 1];

static bool rule_agrees(const struct memtrack_rule *rule, const struct meaning *meaning, bool signal,
                        bool plain_cfa)
{
    kinds[rule->kind]++;
    struct place ra = meaning->place[MEMTRACK_REG_IP], rbp = meaning->place[MEMTRACK_REG_RBP];
    struct place rsp = meaning->place[MEMTRACK_REG_RSP];
    bool ra_usual = ra.form == SAVED_AT && ra.value == meaning->cfa - 8;
    bool rsp_usual = rsp.form == IS_VALUE && rsp.value == meaning->cfa;
    if (rule->module_index != 0 || !!(rule->flags & MEMTRACK_RULE_SIGNAL) != signal)
        return false;
    uint64_t cfa = 0;
    switch (rule->kind) {
    case MEMTRACK_RULE_END: return ra.form == UNDEFINED;
    case MEMTRACK_RULE_FULL:
        return !(ra_usual && rsp_usual && plain_cfa && (rbp.form == UNCHANGED || rbp.form == SAVED_AT));
    case MEMTRACK_RULE_RSP: cfa = registers[MEMTRACK_REG_RSP] + (uint64_t)(int64_t)rule->cfa_offset; break;
    case MEMTRACK_RULE_RBP: cfa = registers[MEMTRACK_REG_RBP] + (uint64_t)(int64_t)rule->cfa_offset; break;
    case MEMTRACK_RULE_RBP_DEREF:
        cfa = mix(registers[MEMTRACK_REG_RBP] + (uint64_t)(int64_t)rule->cfa_offset);
        break;
    default: return false;
    }
    if (cfa != meaning->cfa || !ra_usual || !rsp_usual)
        return false;
    switch (rule->flags & (MEMTRACK_RULE_RBP_AT_CFA | MEMTRACK_RULE_RBP_AT_RBP)) {
    case 0: return rbp.form == UNCHANGED;
    case MEMTRACK_RULE_RBP_AT_CFA:
        return rbp.form == SAVED_AT && rbp.value == cfa + (uint64_t)(int64_t)rule->rbp_offset;
    case MEMTRACK_RULE_RBP_AT_RBP:
        return rbp.form == SAVED_AT
            && rbp.value == registers[MEMTRACK_REG_RBP] + (uint64_t)(int64_t)rule->rbp_offset;
    default: return false;
    }
}

/* The CFA is rsp + n or rbp + n, by libdw's account. */
static bool is_plain(Dwarf_Frame *frame)
{
    Dwarf_Op *ops;
    size_t count;
    return dwarf_frame_cfa(frame, &ops, &count) == 0 && count == 1 && ops[0].atom == DW_OP_bregx
        && (ops[0].number == MEMTRACK_REG_RSP || ops[0].number == MEMTRACK_REG_RBP);
}

static void compare(const char *path, const struct image *image, uint64_t pc, Dwarf_Frame *theirs)
{
    struct memtrack_frame frame;
    struct memtrack_rule rule;
    struct meaning expected, actual;
    uint64_t seed = pc;
    for (unsigned i = 0; i < MEMTRACK_REGISTERS; i++)
        registers[i] = random_next(&seed);
    registers[MEMTRACK_REG_IP] = pc + image->bias;

    bool signal;
    Dwarf_Addr start, end;
    int column = dwarf_frame_info(theirs, &start, &end, &signal);
    enum memtrack_lookup lookup = memtrack_frame_find(&image->object, pc + image->bias, &frame);
    memtrack_rule_decode(&image->object, pc + image->bias, &rule); /* goes on where the last one stopped */
    memtrack_cfi_generation++;
    struct memtrack_rule anew;
    memtrack_rule_decode(&image->object, pc + image->bias, &anew);
    check(rule.kind == anew.kind && rule.flags == anew.flags && rule.cfa_offset == anew.cfa_offset &&
              rule.rbp_offset == anew.rbp_offset,
          "%s: another rule at 0x%lx when the program goes on", path, (unsigned long)pc);
    bool good = lookup == MEMTRACK_LOOKUP_FOUND && oracle(theirs, &expected)
             && ours(&image->object, &frame, &actual) && expected.cfa == actual.cfa
             && frame.return_column == column && frame.signal == signal;
    for (unsigned i = 0; good && i < MEMTRACK_REGISTERS; i++)
        good = same_place(&frame, i, actual.place[i], expected.place[i]);
    check(good, "%s: row at 0x%lx differs from libdw's (lookup %d)", path, (unsigned long)pc, lookup);
    if (good)
        check(rule_agrees(&rule, &expected, signal, is_plain(theirs)),
              "%s: rule at 0x%lx is wrong (kind %d, flags %d, cfa %d, rbp %d)", path, (unsigned long)pc,
              rule.kind, rule.flags, rule.cfa_offset, rule.rbp_offset);
}

/* All rows of the FDE that begins at `pc`; then the address behind it, if nothing covers that. */
static unsigned long compare_fde(const char *path, const struct image *image, Dwarf_CFI *cfi, uint64_t pc,
                                 uint64_t next)
{
    unsigned long rows = 0;
    Dwarf_Frame *frame;
    while (pc < next && dwarf_cfi_addrframe(cfi, pc, &frame) == 0) {
        Dwarf_Addr start, end;
        bool signal;
        dwarf_frame_info(frame, &start, &end, &signal);
        rows++;
        compare(path, image, pc, frame);
        if (end - pc > 1)
            compare(path, image, end - 1, frame);
        if (end - pc > 2)
            compare(path, image, pc + (end - pc) / 2, frame);
        free(frame);
        pc = end;
    }
    if (pc < next) {
        struct memtrack_rule rule;
        memtrack_rule_decode(&image->object, pc + image->bias, &rule);
        enum memtrack_rule_kind expected = pc + 1 == next ? MEMTRACK_RULE_END : MEMTRACK_RULE_NONE;
        check(rule.kind == expected, "%s: a rule at 0x%lx, which no FDE covers", path, (unsigned long)pc);
    }
    return rows;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Nanoseconds a decode takes, at the first byte and in the middle of each function; the second pass. */
static double decode_cost(const struct image *image, const struct image_entry *table, uint32_t count)
{
    uintptr_t hdr = (uintptr_t)image->object.eh_frame_hdr;
    unsigned long decodes = 0;
    double begin = 0;
    for (int pass = 0; pass < 2; pass++) {
        begin = seconds();
        decodes = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            uintptr_t start = hdr + (uintptr_t)(intptr_t)table[i].code;
            uintptr_t next = hdr + (uintptr_t)(intptr_t)table[i + 1].code;
            struct memtrack_rule rule;
            memtrack_rule_decode(&image->object, start, &rule);
            memtrack_rule_decode(&image->object, start + (next - start) / 2, &rule);
            decodes += 2;
        }
    }
    return decodes ? (seconds() - begin) * 1e9 / (double)decodes : 0;
}

static void compare_file(const char *path)
{
    struct image image;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("  %s: not here\n", path);
        return;
    }
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    Dwarf_CFI *cfi = elf ? dwarf_getcfi_elf(elf) : NULL;
    const struct image_entry *table = NULL;
    memtrack_cfi_generation++;
    if (!check(cfi && image_map(path, &image), "%s: cannot be read", path))
        return;
    uint32_t count = image_table(&image, &table);
    check(count > 0, "%s: has no search table", path);
    memset(kinds, 0, sizeof kinds);
    unsigned long rows = 0;
    uint64_t hdr = (uint64_t)image.object.eh_frame_hdr - image.bias;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t next = i + 1 < count ? hdr + (uint64_t)(int64_t)table[i + 1].code : UINT64_MAX;
        rows += compare_fde(path, &image, cfi, hdr + (uint64_t)(int64_t)table[i].code, next);
    }
    printf("  %s: %u FDEs, %lu rows; rules: rsp %lu, rbp %lu, *rbp %lu, end %lu, full %lu; "
           "%.0f ns a decode\n", path, count, rows, kinds[MEMTRACK_RULE_RSP], kinds[MEMTRACK_RULE_RBP],
           kinds[MEMTRACK_RULE_RBP_DEREF], kinds[MEMTRACK_RULE_END], kinds[MEMTRACK_RULE_FULL],
           decode_cost(&image, table, count));
    dwarf_cfi_end(cfi);
    elf_end(elf);
    close(fd);
}

int main(int count, char **arguments)
{
    elf_version(EV_CURRENT);
    for (int i = 1; i < count; i++)
        compare_file(arguments[i]);
    return tally_end("unwind_rows");
}
