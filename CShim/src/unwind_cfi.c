/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_cfi.c - runs the programs of a CIE and an FDE up to a pc: the row that holds there.
 *
 * The byte code is DWARF 5, chapter 6.4.2, with the GNU additions. A program is straight-line code, so it
 * ends; the rows that it remembers go on a stack of MEMTRACK_REMEMBERED. Whatever is unknown, too deep or
 * does not fit 32 bits makes the whole row "broken".
 *
 * GOING ON. A function of a thousand calls has a program of thousands of operations, and each of its return addresses
 * would run it from the start: in cc1's start-up that was half of all instructions. So a few programs are kept where they
 * stopped, and go on from there for a pc further down. Each is taken by one thread at a time; who finds it taken does
 * without. One that is left taken, by longjmp out of a signal handler, is not used again.
 */
#include "unwind_cfi.h"

#define MEMTRACK_REMEMBERED 8
#define MEMTRACK_RUNS 4

struct run {
    struct memtrack_row row;
    struct memtrack_row initial; /* row after the CIE's program */
    const struct memtrack_fde *fde;
    uint64_t pc, location;
    uint64_t program;            /* where the FDE's begins; 0: that of the CIE runs */
    struct memtrack_reader code; /* what is left of it */
    uint32_t generation;
    unsigned remembered;
    struct memtrack_row stack[MEMTRACK_REMEMBERED];
};

static struct {
    uint32_t taken;
    struct run run;
} runs[MEMTRACK_RUNS];

uint32_t memtrack_cfi_generation;

enum {
    /* the two high bits are an operation, the six low ones its operand */
    ADVANCE_LOC = 0x40,
    OFFSET = 0x80,
    RESTORE = 0xc0,

    NOP = 0x00,
    SET_LOC = 0x01,
    ADVANCE_LOC1 = 0x02,
    ADVANCE_LOC2 = 0x03,
    ADVANCE_LOC4 = 0x04,
    OFFSET_EXTENDED = 0x05,
    RESTORE_EXTENDED = 0x06,
    UNDEFINED = 0x07,
    SAME_VALUE = 0x08,
    REGISTER = 0x09,
    REMEMBER_STATE = 0x0a,
    RESTORE_STATE = 0x0b,
    DEF_CFA = 0x0c,
    DEF_CFA_REGISTER = 0x0d,
    DEF_CFA_OFFSET = 0x0e,
    DEF_CFA_EXPRESSION = 0x0f,
    EXPRESSION = 0x10,
    OFFSET_EXTENDED_SF = 0x11,
    DEF_CFA_SF = 0x12,
    DEF_CFA_OFFSET_SF = 0x13,
    VAL_OFFSET = 0x14,
    VAL_OFFSET_SF = 0x15,
    VAL_EXPRESSION = 0x16,
    MIPS_ADVANCE_LOC8 = 0x1d,
    GNU_WINDOW_SAVE = 0x2d,
    GNU_ARGS_SIZE = 0x2e,
    GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

/* Wraps instead of overflowing; a value that wrapped is nonsense, but defined nonsense. */
static int64_t factored(const struct run *run, uint64_t operand)
{
    return (int64_t)(operand * (uint64_t)run->fde->data_factor);
}

static bool set_register(struct run *run, uint64_t number, enum memtrack_where where, int64_t value)
{
    if (number >= MEMTRACK_REGISTERS)
        return true;
    if (value != (int32_t)value)
        return false;
    run->row.where[number] = (uint8_t)where;
    run->row.value[number] = (int32_t)value;
    return true;
}

static bool restore_register(struct run *run, uint64_t number)
{
    if (!run->program)
        return false;
    if (number < MEMTRACK_REGISTERS) {
        run->row.where[number] = run->initial.where[number];
        run->row.value[number] = run->initial.value[number];
    }
    return true;
}

static bool set_cfa(struct run *run, enum memtrack_cfa_form form, uint64_t number, int64_t value)
{
    if (number > UINT16_MAX || value != (int32_t)value)
        return false;
    run->row.cfa_form = (uint8_t)form;
    run->row.cfa_register = (uint16_t)number;
    run->row.cfa_value = (int32_t)value;
    return true;
}

static bool set_cfa_offset(struct run *run, int64_t value)
{
    return run->row.cfa_form == MEMTRACK_CFA_REGISTER
        && set_cfa(run, MEMTRACK_CFA_REGISTER, run->row.cfa_register, value);
}

/* Steps over a block and gives its distance from the CIE. */
static int64_t take_block(struct run *run, struct memtrack_reader *code)
{
    int64_t distance = (int64_t)(code->at - run->fde->cie);
    memtrack_reader_skip(code, memtrack_reader_uleb(code));
    return distance;
}

/* One operation whose code is below 0x40. */
static bool run_extended(struct run *run, struct memtrack_reader *code, uint8_t operation)
{
    uint64_t number;
    switch (operation) {
    case NOP: return true;
    case SET_LOC:
        run->location = memtrack_reader_encoded(code, run->fde->pointer_encoding, 0);
        return true;
    case ADVANCE_LOC1: run->location += memtrack_reader_u8(code) * run->fde->code_factor; return true;
    case ADVANCE_LOC2: run->location += memtrack_reader_u16(code) * run->fde->code_factor; return true;
    case ADVANCE_LOC4: run->location += memtrack_reader_u32(code) * run->fde->code_factor; return true;
    case MIPS_ADVANCE_LOC8: run->location += memtrack_reader_u64(code) * run->fde->code_factor; return true;

    case DEF_CFA:
        number = memtrack_reader_uleb(code);
        return set_cfa(run, MEMTRACK_CFA_REGISTER, number, (int64_t)memtrack_reader_uleb(code));
    case DEF_CFA_SF:
        number = memtrack_reader_uleb(code);
        return set_cfa(run, MEMTRACK_CFA_REGISTER, number,
                       factored(run, (uint64_t)memtrack_reader_sleb(code)));
    case DEF_CFA_REGISTER:
        return run->row.cfa_form == MEMTRACK_CFA_REGISTER
            && set_cfa(run, MEMTRACK_CFA_REGISTER, memtrack_reader_uleb(code), run->row.cfa_value);
    case DEF_CFA_OFFSET: return set_cfa_offset(run, (int64_t)memtrack_reader_uleb(code));
    case DEF_CFA_OFFSET_SF:
        return set_cfa_offset(run, factored(run, (uint64_t)memtrack_reader_sleb(code)));
    case DEF_CFA_EXPRESSION: return set_cfa(run, MEMTRACK_CFA_EXPRESSION, 0, take_block(run, code));

    case REMEMBER_STATE:
        if (run->remembered == MEMTRACK_REMEMBERED)
            return false;
        run->stack[run->remembered++] = run->row;
        return true;
    case RESTORE_STATE:
        if (run->remembered == 0)
            return false;
        run->row = run->stack[--run->remembered];
        return true;
    case GNU_WINDOW_SAVE: return true;
    case GNU_ARGS_SIZE: memtrack_reader_uleb(code); return true;
    default: break;
    }

    number = memtrack_reader_uleb(code); /* all that is left begins with a register */
    switch (operation) {
    case OFFSET_EXTENDED:
        return set_register(run, number, MEMTRACK_WHERE_AT_CFA, factored(run, memtrack_reader_uleb(code)));
    case OFFSET_EXTENDED_SF:
        return set_register(run, number, MEMTRACK_WHERE_AT_CFA,
                            factored(run, (uint64_t)memtrack_reader_sleb(code)));
    case GNU_NEGATIVE_OFFSET_EXTENDED:
        return set_register(run, number, MEMTRACK_WHERE_AT_CFA, factored(run, -memtrack_reader_uleb(code)));
    case VAL_OFFSET:
        return set_register(run, number, MEMTRACK_WHERE_IS_CFA, factored(run, memtrack_reader_uleb(code)));
    case VAL_OFFSET_SF:
        return set_register(run, number, MEMTRACK_WHERE_IS_CFA,
                            factored(run, (uint64_t)memtrack_reader_sleb(code)));
    case RESTORE_EXTENDED: return restore_register(run, number);
    case UNDEFINED: return set_register(run, number, MEMTRACK_WHERE_UNDEFINED, 0);
    case SAME_VALUE: return set_register(run, number, MEMTRACK_WHERE_SAME, 0);
    case REGISTER:
        return set_register(run, number, MEMTRACK_WHERE_REGISTER, (int64_t)memtrack_reader_uleb(code));
    case EXPRESSION: return set_register(run, number, MEMTRACK_WHERE_AT_RESULT, take_block(run, code));
    case VAL_EXPRESSION: return set_register(run, number, MEMTRACK_WHERE_IS_RESULT, take_block(run, code));
    default: return false;
    }
}

/* Until the end of the program, or of the row that holds at run->pc: then it stands before the operation that ends it. */
static bool run_program(struct run *run)
{
    struct memtrack_reader code = run->code;
    while (code.at < code.end) {
        uint64_t location = run->location;
        uint8_t byte = memtrack_reader_u8(&code);
        uint8_t low = byte & 0x3f;
        bool good = true;
        switch (byte & 0xc0) {
        case ADVANCE_LOC: run->location += low * run->fde->code_factor; break;
        case OFFSET:
            good = set_register(run, low, MEMTRACK_WHERE_AT_CFA, factored(run, memtrack_reader_uleb(&code)));
            break;
        case RESTORE: good = restore_register(run, low); break;
        default: good = run_extended(run, &code, byte); break;
        }
        if (!good || code.failed)
            return false;
        if (run->location > run->pc) {
            run->location = location;
            return true;
        }
        run->code = code;
    }
    return true;
}

static bool start(struct run *run, const struct memtrack_fde *fde)
{
    run->program = 0;
    run->location = fde->begin;
    run->remembered = 0;
    run->row = (struct memtrack_row){.cfa_form = MEMTRACK_CFA_UNSAID};
    run->code = fde->initial;
    if (!run_program(run))
        return false;
    run->initial = run->row;
    run->program = fde->program.at;
    run->location = fde->begin;
    run->code = fde->program;
    return true;
}

/* Afterwards `run` is fit to go on, or has no program. */
static bool find_in_run(struct run *run, uintptr_t pc, const struct memtrack_fde *fde)
{
    uint32_t generation = __atomic_load_n(&memtrack_cfi_generation, __ATOMIC_ACQUIRE);
    bool goes_on = run->program == fde->program.at && run->generation == generation && run->location <= pc;
    run->generation = generation;
    run->fde = fde;
    run->pc = pc;
    bool good = (goes_on || start(run, fde)) && run_program(run);
    if (!good)
        run->program = 0;
    return good;
}

static __attribute__((noinline)) bool find_anew(uintptr_t pc, const struct memtrack_fde *fde, struct memtrack_row *row)
{
    struct run run; /* not initialised as a whole: the stack is large and mostly unused */
    run.program = 0;
    bool good = find_in_run(&run, pc, fde);
    *row = run.row;
    return good;
}

static enum memtrack_lookup find_row(const struct memtrack_object *object, uintptr_t pc,
                                     struct memtrack_fde *fde, struct memtrack_frame *out)
{
    enum memtrack_lookup lookup = memtrack_fde_find(object, pc, fde);
    if (lookup != MEMTRACK_LOOKUP_FOUND)
        return lookup;
    out->base = fde->cie;
    out->return_column = fde->return_column;
    out->signal = fde->signal;
    uint32_t place = (uint32_t)(fde->begin >> 4) % MEMTRACK_RUNS;
    bool good;
    if (__atomic_exchange_n(&runs[place].taken, 1u, __ATOMIC_ACQUIRE) == 0) {
        good = find_in_run(&runs[place].run, pc, fde);
        out->row = runs[place].run.row;
        __atomic_store_n(&runs[place].taken, 0u, __ATOMIC_RELEASE);
    } else {
        good = find_anew(pc, fde, &out->row);
    }
    return good ? MEMTRACK_LOOKUP_FOUND : MEMTRACK_LOOKUP_BROKEN;
}

void memtrack_cfi_after_fork(void)
{
    for (int place = 0; place < MEMTRACK_RUNS; place++)
        if (runs[place].taken)
            runs[place].run.program = runs[place].taken = 0;
}

/* Where a return address is the first byte of a function and nothing covers the byte before, that function
 * was not called but is returned into: a bottom frame that says so by accident of its layout, such as
 * glibc's __start_context below a coroutine. Its row becomes one without a return address. */
enum memtrack_lookup memtrack_frame_find(const struct memtrack_object *object, uintptr_t pc,
                                         struct memtrack_frame *out)
{
    struct memtrack_fde fde;
    enum memtrack_lookup lookup = find_row(object, pc, &fde, out);
    if (lookup != MEMTRACK_LOOKUP_ABSENT)
        return lookup;
    if (find_row(object, pc + 1, &fde, out) != MEMTRACK_LOOKUP_FOUND || fde.begin != pc + 1)
        return MEMTRACK_LOOKUP_ABSENT;
    out->row.where[out->return_column] = MEMTRACK_WHERE_UNDEFINED;
    return MEMTRACK_LOOKUP_FOUND;
}
