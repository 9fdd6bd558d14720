/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_step.c - one frame outwards with the whole register file: the slow path, for any CFI.
 *
 * The callee's cursor is left alone until the step is known to succeed, except that registers it loaded
 * meanwhile stay loaded. A register that the row leaves unsaid keeps its value, as in libgcc: code that
 * clobbers it never names it afterwards. Stack words are read through the callback alone, and a saved
 * register only when its value is asked for (see unwind.h).
 */
#include "unwind_cfi.h"

#define BIT(number) (1u << (number))

bool memtrack_cursor_register(struct memtrack_cursor *cursor, unsigned number, memtrack_read_fn *read,
                              void *context, uint64_t *value)
{
    if (number >= MEMTRACK_REGISTERS || !(cursor->known & BIT(number)))
        return false;
    if (cursor->saved & BIT(number)) {
        uint64_t loaded;
        if (!read(context, cursor->reg[number], &loaded))
            return false;
        cursor->reg[number] = loaded;
        cursor->saved &= ~BIT(number);
    }
    *value = cursor->reg[number];
    return true;
}

#if defined(__x86_64__)

/* What the expressions and rules of one step see: the frame being left. */
struct step {
    struct memtrack_cursor *from;
    memtrack_read_fn *read;
    void *context;
    const struct memtrack_object *object;
    struct memtrack_frame frame;
    uint64_t cfa;
};

static bool get_register(void *context, uint64_t number, uint64_t *value)
{
    struct step *step = context;
    if (number >= MEMTRACK_REGISTERS)
        return false;
    uint32_t free_of_charge = BIT(MEMTRACK_REG_RBP) | BIT(MEMTRACK_REG_RSP) | BIT(MEMTRACK_REG_IP);
    if (step->from->entry & ~free_of_charge & BIT(number))
        step->from->depends_on_entry = true;
    return memtrack_cursor_register(step->from, (unsigned)number, step->read, step->context, value);
}

static bool read_word(void *context, uint64_t address, uint64_t *value)
{
    struct step *step = context;
    return step->read(step->context, address, value);
}

static bool evaluate(struct step *step, int32_t position, const uint64_t *initial, uint64_t *result)
{
    struct memtrack_machine machine = {.get = get_register, .read = read_word, .context = step};
    struct memtrack_reader code = memtrack_frame_expression(step->object, &step->frame, position);
    return memtrack_expression_run(code, &machine, initial, result);
}

static bool compute_cfa(struct step *step)
{
    const struct memtrack_row *row = &step->frame.row;
    if (row->cfa_form == MEMTRACK_CFA_EXPRESSION)
        return evaluate(step, row->cfa_value, NULL, &step->cfa);
    if (row->cfa_form != MEMTRACK_CFA_REGISTER || !get_register(step, row->cfa_register, &step->cfa))
        return false;
    step->cfa += (uint64_t)(int64_t)row->cfa_value;
    return true;
}

/* A register of the caller: unchanged, known now, known to be saved somewhere, or unknown. */
static void set_known(struct memtrack_cursor *to, unsigned number, uint64_t value, bool is_address)
{
    to->reg[number] = value;
    to->known |= BIT(number);
    to->entry &= ~BIT(number);
    to->saved = is_address ? to->saved | BIT(number) : to->saved & ~BIT(number);
}

static void set_unknown(struct memtrack_cursor *to, unsigned number)
{
    to->known &= ~BIT(number);
    to->entry &= ~BIT(number);
    to->saved &= ~BIT(number);
}

static void recover(struct step *step, struct memtrack_cursor *to, unsigned number)
{
    int32_t value = step->frame.row.value[number];
    uint64_t result;
    switch (step->frame.row.where[number]) {
    case MEMTRACK_WHERE_UNSAID:
        if (number == MEMTRACK_REG_RSP)
            set_known(to, number, step->cfa, false);
        return;
    case MEMTRACK_WHERE_SAME: return;
    case MEMTRACK_WHERE_AT_CFA: set_known(to, number, step->cfa + (uint64_t)(int64_t)value, true); return;
    case MEMTRACK_WHERE_IS_CFA: set_known(to, number, step->cfa + (uint64_t)(int64_t)value, false); return;
    case MEMTRACK_WHERE_REGISTER:
        if (value >= 0 && get_register(step, (uint64_t)value, &result)) {
            set_known(to, number, result, false);
            return;
        }
        break;
    case MEMTRACK_WHERE_AT_RESULT:
    case MEMTRACK_WHERE_IS_RESULT:
        if (evaluate(step, value, &step->cfa, &result)) {
            bool is_address = step->frame.row.where[number] == MEMTRACK_WHERE_AT_RESULT;
            set_known(to, number, result, is_address);
            return;
        }
        break;
    default: break;
    }
    set_unknown(to, number);
}

/* The caller's frame; false if its ip or rsp cannot be known. */
static bool build_caller(struct step *step, struct memtrack_cursor *to)
{
    unsigned column = step->frame.return_column;
    uint8_t where = step->frame.row.where[column];
    if (where == MEMTRACK_WHERE_UNSAID || where == MEMTRACK_WHERE_SAME)
        return false; /* a caller at the callee's own address */
    *to = *step->from;
    for (unsigned number = 0; number < MEMTRACK_REGISTERS; number++)
        recover(step, to, number);
    to->depends_on_entry = step->from->depends_on_entry;

    uint64_t value;
    if (!memtrack_cursor_register(to, column, step->read, step->context, &value))
        return false;
    set_known(to, MEMTRACK_REG_IP, value, false);
    if (!memtrack_cursor_register(to, MEMTRACK_REG_RSP, step->read, step->context, &value))
        return false;
    if (!to->lazy_rbp && !memtrack_cursor_register(to, MEMTRACK_REG_RBP, step->read, step->context, &value))
        set_unknown(to, MEMTRACK_REG_RBP);
    to->exact_pc = step->frame.signal;
    return true;
}

enum memtrack_step memtrack_cursor_step(struct memtrack_cursor *cursor, memtrack_read_fn *read,
                                        void *context)
{
    if (!(cursor->known & ~cursor->saved & BIT(MEMTRACK_REG_IP)))
        return MEMTRACK_STEP_FAILED;
    uintptr_t pc = cursor->reg[MEMTRACK_REG_IP] - (cursor->exact_pc ? 0 : 1);
    struct memtrack_object object;
    if (!memtrack_object_find(pc, &object))
        return MEMTRACK_STEP_NO_CFI;

    struct step step = {.from = cursor, .read = read, .context = context, .object = &object};
    switch (memtrack_frame_find(&object, pc, &step.frame)) {
    case MEMTRACK_LOOKUP_ABSENT: return MEMTRACK_STEP_NO_CFI;
    case MEMTRACK_LOOKUP_BROKEN: return MEMTRACK_STEP_FAILED;
    case MEMTRACK_LOOKUP_FOUND: break;
    }
    if (step.frame.row.where[step.frame.return_column] == MEMTRACK_WHERE_UNDEFINED)
        return MEMTRACK_STEP_END;

    struct memtrack_cursor caller;
    if (!compute_cfa(&step) || !build_caller(&step, &caller))
        return MEMTRACK_STEP_FAILED;
    if (caller.reg[MEMTRACK_REG_IP] == 0)
        return MEMTRACK_STEP_END; /* the ABI's other mark of an outermost frame */
    if (caller.reg[MEMTRACK_REG_IP] == cursor->reg[MEMTRACK_REG_IP]
        && caller.reg[MEMTRACK_REG_RSP] == cursor->reg[MEMTRACK_REG_RSP])
        return MEMTRACK_STEP_FAILED; /* would repeat for ever */
    *cursor = caller;
    return MEMTRACK_STEP_OK;
}

#else

enum memtrack_step memtrack_cursor_step(struct memtrack_cursor *cursor, memtrack_read_fn *read,
                                        void *context)
{
    (void)cursor;
    (void)read;
    (void)context;
    return MEMTRACK_STEP_NO_CFI;
}

#endif
