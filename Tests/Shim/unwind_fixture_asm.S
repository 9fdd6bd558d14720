/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_fixture_asm.S - frames that no compiler makes, but that call frame information can describe.
 * Each but the last is void f(void (*body)(int), int argument): it calls body(argument) from within such a
 * frame.
 */
    .text
    .globl fixture_asm_begin, fixture_asm_end
fixture_asm_begin:

/* CFA = rbx + 16, rsp realigned; body's C code saves and clobbers rbx. */
    .globl fixture_asm_cfa_in_rbx
    .type fixture_asm_cfa_in_rbx, @function
fixture_asm_cfa_in_rbx:
    .cfi_startproc
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbx, -16
    movq %rsp, %rbx
    .cfi_def_cfa_register %rbx
    subq $200, %rsp
    andq $-128, %rsp
    movq %rdi, %rax
    movl %esi, %edi
    call *%rax
    movq %rbx, %rsp
    .cfi_def_cfa_register %rsp
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    ret
    .cfi_endproc
    .size fixture_asm_cfa_in_rbx, . - fixture_asm_cfa_in_rbx

/* The return address is in r12 only; its usual slot holds rubbish, and so does rbp. */
    .globl fixture_asm_return_in_r12
    .type fixture_asm_return_in_r12, @function
fixture_asm_return_in_r12:
    .cfi_startproc
    pushq %r12
    .cfi_adjust_cfa_offset 8
    .cfi_offset %r12, -16
    pushq %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_offset %rbp, -24
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    movq 24(%rsp), %r12
    .cfi_register %rip, %r12
    movq $0x1234567, 24(%rsp)
    movq $0x89abcde, %rbp
    movq %rdi, %rax
    movl %esi, %edi
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    pushq %rax
    .cfi_adjust_cfa_offset 8
    call *%rax
    addq $16, %rsp
    .cfi_adjust_cfa_offset -16
    movq %r12, 24(%rsp)
    .cfi_offset %rip, -8
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    popq %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    ret
    .cfi_endproc
    .size fixture_asm_return_in_r12, . - fixture_asm_return_in_r12

/* CFA = *(rsp + 8) + 8, as OpenSSL's assembly has it; rbp is kept in r13, and r14 is said to be CFA - 16. */
    .globl fixture_asm_expressions
    .type fixture_asm_expressions, @function
fixture_asm_expressions:
    .cfi_startproc
    movq %rsp, %rax
    .cfi_def_cfa_register %rax
    pushq %r13
    .cfi_offset %r13, -16
    pushq %rbx
    .cfi_offset %rbx, -24
    movq %rbp, %r13
    .cfi_register %rbp, %r13
    subq $256, %rsp
    andq $-64, %rsp
    movq %rax, 8(%rsp)
    /* def_cfa_expression: breg7 8; deref; plus_uconst 8 */
    .cfi_escape 0x0f, 0x05, 0x77, 0x08, 0x06, 0x23, 0x08
    /* val_expression r14: the CFA is on the stack; const1u 16; minus */
    .cfi_escape 0x16, 0x0e, 0x03, 0x08, 0x10, 0x1c
    movq $0x777, %rbp
    movq %rdi, %rdx
    movl %esi, %edi
    call *%rdx
    movq 8(%rsp), %rax
    .cfi_def_cfa %rax, 8
    movq %r13, %rbp
    .cfi_same_value %rbp
    movq -8(%rax), %r13
    .cfi_restore %r13
    movq -16(%rax), %rbx
    .cfi_restore %rbx
    movq %rax, %rsp
    .cfi_def_cfa_register %rsp
    ret
    .cfi_endproc
    .size fixture_asm_expressions, . - fixture_asm_expressions

fixture_asm_end:

/* void f(void): faults at its first byte; the byte before belongs to a function with another CFA. */
    .globl fixture_asm_fault
    .type fixture_asm_fault, @function
    .cfi_startproc
    .cfi_def_cfa_offset 64
    nop
    .cfi_endproc
fixture_asm_fault:
    .cfi_startproc
    ud2
    ret
    .cfi_endproc
    .size fixture_asm_fault, . - fixture_asm_fault

    .section .note.GNU-stack, "", @progbits
