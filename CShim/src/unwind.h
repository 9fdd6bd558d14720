/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind.h - from a code address to the rule that finds the caller's frame.
 *
 * DATA MODEL
 *
 *   An OBJECT is a loaded ELF file, as _dl_find_object describes it: where its .eh_frame_hdr is and
 *   which addresses it spans. A RULE is the 12-byte summary of the call frame information (CFI) that
 *   holds at one pc; it covers nearly all compiled code, and following it takes two or three loads. A
 *   CURSOR is a whole register file, for the code that a rule cannot describe: memtrack_cursor_step
 *   interprets any CFI.
 *
 * RULES
 *
 *   Everything here is async-signal-safe: it neither allocates nor locks, keeps no state of its own,
 *   touches no errno and no thread-local variable, and calls nothing but _dl_find_object (lock-free;
 *   link with -z now, so that calling it does not enter the lazy binder). CFI is treated as hostile:
 *   what is malformed, too deep or outside the object gives MEMTRACK_RULE_FULL and then
 *   MEMTRACK_STEP_FAILED, never a guess. The target's stack is only read through the caller's callback.
 *   Stack needed: about 2 KB.
 *
 *   x86-64 only. On another machine every pc has "no rule" and every step "no CFI".
 */
#ifndef MEMTRACK_UNWIND_H
#define MEMTRACK_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memtrack_rule_kind {
    MEMTRACK_RULE_NONE = 0,  /* no CFI for this pc                                                */
    MEMTRACK_RULE_RSP,       /* CFA = rsp + cfa_offset                                            */
    MEMTRACK_RULE_RBP,       /* CFA = rbp + cfa_offset                                            */
    MEMTRACK_RULE_RBP_DEREF, /* CFA = *(uint64_t *)(rbp + cfa_offset): realigned stacks           */
    MEMTRACK_RULE_END,       /* outermost frame: no return address, or returned into at its start */
    MEMTRACK_RULE_FULL       /* only memtrack_cursor_step can tell (or that it cannot be told)    */
};

#define MEMTRACK_RULE_RBP_AT_CFA 1 /* the caller's rbp is saved at CFA + rbp_offset */
#define MEMTRACK_RULE_RBP_AT_RBP 2 /* the caller's rbp is saved at rbp + rbp_offset */
#define MEMTRACK_RULE_SIGNAL 4     /* a signal frame: the ip of its caller is exact (set with any kind) */

/* For the kinds RSP, RBP and RBP_DEREF the caller's frame is: return address at CFA - 8, rsp = CFA, rbp
 * as the flags say and unchanged without a flag. */
struct memtrack_rule {
    uint8_t kind;          /* enum memtrack_rule_kind */
    uint8_t flags;         /* MEMTRACK_RULE_*         */
    uint16_t module_index; /* left 0 here             */
    int32_t cfa_offset;
    int32_t rbp_offset;
};
_Static_assert(sizeof(struct memtrack_rule) == 12, "rules are cached by the thousand");

struct memtrack_object {
    const void *eh_frame_hdr; /* NULL if the object has none                               */
    uintptr_t start, end;     /* nothing outside is read; end 0: unknown, hdr is trusted   */
    void *link_map;
};

/* The loaded object that spans pc; false if there is none (code made at run time) or if the C library
 * has no _dl_find_object. */
bool memtrack_object_find(uintptr_t pc, struct memtrack_object *out);

/* `pc` is the address to look up: return address - 1, or the exact pc of an interrupted frame. */
void memtrack_rule_decode(const struct memtrack_object *object, uintptr_t pc, struct memtrack_rule *out);

/* What the CFI of an address says is remembered as long as this stays the same: raise it where another object may have
 * come to lie there. And in a forked child, unless a walk that the fork interrupted goes on. */
extern uint32_t memtrack_cfi_generation __attribute__((visibility("hidden")));
void memtrack_cfi_after_fork(void);

/* DWARF register numbers: 6 = rbp, 7 = rsp, 16 = ip.
 *
 * ip, rsp and rbp are values whenever they are known. The other registers are loaded when some rule
 * needs them and no sooner, so that a walk reads (and its memo compares) no word that it does not depend
 * on: a register whose bit is set in `saved` has in reg[] the address where its value lies. Use
 * memtrack_cursor_register to get at one. With lazy_rbp, rbp is treated in the same way. */
struct memtrack_cursor {
    uint64_t reg[17];
    uint32_t known;        /* bit per register whose value is known                              */
    uint32_t entry;        /* bit per register that still holds its value from the start of the walk */
    bool exact_pc;         /* ip is exact, not a return address: the first frame of a capture, or the
                              frame above a signal frame                                         */
    bool depends_on_entry; /* the walk used an entry value of a register other than rsp, rbp, ip */
    bool lazy_rbp;         /* set by the caller */
    uint32_t saved;        /* bit per register that reg[] gives the address of; 0 at the start   */
};

/* Reads 8 bytes of the target's memory; false = refused. */
typedef bool memtrack_read_fn(void *context, uint64_t address, uint64_t *value);

enum memtrack_step {
    MEMTRACK_STEP_OK,     /* the cursor is at the caller's frame now                      */
    MEMTRACK_STEP_END,    /* the cursor is at the outermost frame; it has not moved       */
    MEMTRACK_STEP_NO_CFI, /* nothing describes this pc; not moved                         */
    MEMTRACK_STEP_FAILED  /* a read was refused or the CFI makes no sense; not moved      */
};

/* One frame outwards. Frames that repeat for ever are the caller's to bound. */
enum memtrack_step memtrack_cursor_step(struct memtrack_cursor *cursor, memtrack_read_fn *read,
                                        void *context);

/* The value of a register in the cursor's frame; false if unknown or if reading it was refused. */
bool memtrack_cursor_register(struct memtrack_cursor *cursor, unsigned number, memtrack_read_fn *read,
                              void *context, uint64_t *value);

/* Fills the cursor with the registers of the function that this is inlined into, at the point where it
 * stands. All stores are one asm statement, so that no compiler can move rsp or a CFI row between them. */
static inline __attribute__((always_inline)) void memtrack_cursor_capture(struct memtrack_cursor *cursor)
{
#if defined(__x86_64__)
    __asm__ volatile("movq %%rax,    (%[reg])\n\t"
                     "movq %%rdx,   8(%[reg])\n\t"
                     "movq %%rcx,  16(%[reg])\n\t"
                     "movq %%rbx,  24(%[reg])\n\t"
                     "movq %%rsi,  32(%[reg])\n\t"
                     "movq %%rdi,  40(%[reg])\n\t"
                     "movq %%rbp,  48(%[reg])\n\t"
                     "movq %%rsp,  56(%[reg])\n\t"
                     "movq %%r8,   64(%[reg])\n\t"
                     "movq %%r9,   72(%[reg])\n\t"
                     "movq %%r10,  80(%[reg])\n\t"
                     "movq %%r11,  88(%[reg])\n\t"
                     "movq %%r12,  96(%[reg])\n\t"
                     "movq %%r13, 104(%[reg])\n\t"
                     "movq %%r14, 112(%[reg])\n\t"
                     "movq %%r15, 120(%[reg])\n\t"
                     "leaq 0f(%%rip), %%rax\n"
                     "0:\tmovq %%rax, 128(%[reg])"
                     :
                     : [reg] "r"(cursor->reg)
                     : "rax", "memory");
    cursor->known = (1u << 17) - 1;
    cursor->entry = (1u << 17) - 1;
#else
    cursor->known = 0;
    cursor->entry = 0;
#endif
    cursor->exact_pc = true;
    cursor->depends_on_entry = false;
    cursor->lazy_rbp = false;
    cursor->saved = 0;
}

#endif
