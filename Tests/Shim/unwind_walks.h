/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_walks.h - between the walk comparison and the fixtures that it is called from.
 */
#ifndef MEMTRACK_UNWIND_WALKS_H
#define MEMTRACK_UNWIND_WALKS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the calling stack by all three methods and compares them. */
void walk_check(const char *where);

void fixture_gcc_O0(int depth);
void fixture_gcc_O2(int depth);
void fixture_gcc_O2_frame_pointer(int depth);
void fixture_gcc_Os_avx2(int depth);
void fixture_clang_O0(int depth);
void fixture_clang_O2(int depth);
void fixture_cxx(int depth);

/* Frames in assembly, each of which calls body(argument); all lie between begin and end. */
extern const char fixture_asm_begin[], fixture_asm_end[];
void fixture_asm_cfa_in_rbx(void (*body)(int), int argument);
void fixture_asm_return_in_r12(void (*body)(int), int argument);
void fixture_asm_expressions(void (*body)(int), int argument);

/* Its first instruction is a ud2: a signal frame whose exact address matters. */
void fixture_asm_fault(void);

#ifdef __cplusplus
}
#endif
#endif
