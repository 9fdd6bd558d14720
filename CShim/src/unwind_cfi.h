/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_cfi.h - call frame information at one pc. For the unwind_*.c files only.
 *
 * DATA MODEL
 *
 *   .eh_frame is a list of records. An FDE covers a range of code; the CIE it names holds what many FDEs
 *   share. Both hold a PROGRAM, a byte code; running the CIE's and then the FDE's up to a pc gives the
 *   ROW of that pc: how to compute the CFA (the value of rsp in the caller), and where the caller's
 *   registers are.
 */
#ifndef MEMTRACK_UNWIND_CFI_H
#define MEMTRACK_UNWIND_CFI_H

#include "unwind_reader.h"

#define MEMTRACK_REG_RBP 6u
#define MEMTRACK_REG_RSP 7u
#define MEMTRACK_REG_IP 16u
#define MEMTRACK_REGISTERS 17u /* those beyond (vector, segment registers) are parsed and dropped */

enum memtrack_lookup {
    MEMTRACK_LOOKUP_FOUND,
    MEMTRACK_LOOKUP_ABSENT, /* the object says nothing about this pc          */
    MEMTRACK_LOOKUP_BROKEN  /* it does, but malformed or more than we support */
};

struct memtrack_fde {
    uint64_t begin, bytes;       /* code covered              */
    uint64_t cie;                /* address of its CIE record */
    struct memtrack_reader initial, program;
    uint64_t code_factor;
    int64_t data_factor;
    uint8_t pointer_encoding;
    uint8_t return_column;       /* < MEMTRACK_REGISTERS */
    bool signal;
};

enum memtrack_lookup memtrack_fde_find(const struct memtrack_object *object, uintptr_t pc,
                                       struct memtrack_fde *out);

enum memtrack_where {           /* value[] means                                        */
    MEMTRACK_WHERE_UNSAID = 0,  /* nothing: unchanged, and for rsp: it is the CFA       */
    MEMTRACK_WHERE_UNDEFINED,
    MEMTRACK_WHERE_SAME,
    MEMTRACK_WHERE_AT_CFA,      /* saved at CFA + value                                 */
    MEMTRACK_WHERE_IS_CFA,      /* is CFA + value itself                                */
    MEMTRACK_WHERE_REGISTER,    /* is in register number value                          */
    MEMTRACK_WHERE_AT_RESULT,   /* saved at the result of the expression at base + value */
    MEMTRACK_WHERE_IS_RESULT    /* is that result itself                                */
};

enum memtrack_cfa_form {
    MEMTRACK_CFA_UNSAID = 0,
    MEMTRACK_CFA_REGISTER,  /* cfa_register + cfa_value                */
    MEMTRACK_CFA_EXPRESSION /* result of the expression at base + cfa_value */
};

/* 96 bytes, so that remembering one is cheap. Expressions are kept as the distance from the CIE to the
 * expression's length field. */
struct memtrack_row {
    uint8_t where[MEMTRACK_REGISTERS]; /* enum memtrack_where    */
    uint8_t cfa_form;                  /* enum memtrack_cfa_form */
    uint16_t cfa_register;
    int32_t cfa_value;
    int32_t value[MEMTRACK_REGISTERS];
};

struct memtrack_frame {
    struct memtrack_row row;
    uint64_t base; /* of expressions */
    uint8_t return_column;
    bool signal;
};

enum memtrack_lookup memtrack_frame_find(const struct memtrack_object *object, uintptr_t pc,
                                         struct memtrack_frame *out);

/* The byte code of the expression at base + value; failed if it is not inside the object. */
static inline struct memtrack_reader memtrack_frame_expression(const struct memtrack_object *object,
                                                               const struct memtrack_frame *frame,
                                                               int32_t value)
{
    struct memtrack_reader reader =
        memtrack_reader_open(object, (uintptr_t)(frame->base + (uint64_t)(int64_t)value));
    uint64_t bytes = memtrack_reader_uleb(&reader);
    if (reader.failed)
        return reader;
    return memtrack_reader_block(&reader, bytes);
}

/* The value of a register in the frame being left, and a word of memory. */
struct memtrack_machine {
    bool (*get)(void *context, uint64_t number, uint64_t *value);
    bool (*read)(void *context, uint64_t address, uint64_t *value);
    void *context;
};

/* Runs a DWARF expression. `initial`, if not NULL, is on the stack at the start (the CFA, for register
 * rules). False if it is malformed, too deep, too long or asks for what the machine does not give. */
bool memtrack_expression_run(struct memtrack_reader code, const struct memtrack_machine *machine,
                             const uint64_t *initial, uint64_t *result);

#endif
