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

/* Calls body with the processor's single-step flag set: the stack is compared at every instruction that
 * it runs, its callees included. */
void walk_check_each_instruction(const char *where, void (*body)(int), int argument);

void fixture_gcc_O0(int depth);
void fixture_gcc_O2(int depth);
void fixture_gcc_O2_frame_pointer(int depth);
void fixture_gcc_Os_avx2(int depth);
void fixture_clang_O0(int depth);
void fixture_clang_O2(int depth);
void fixture_cxx(int depth);

#ifdef __cplusplus
}
#endif
#endif
