/* SPDX-License-Identifier: Apache-2.0
 *
 * Survive the truncation of a file while it is being read through a mapping.
 *
 * The owner of a region file can shrink it at any moment. A later access to a page past its new
 * end raises SIGBUS, and no look at the size beforehand can exclude that. Between begin and end, such a
 * fault of the calling thread inside [base, base + bytes) puts private zero pages in place of the
 * lost ones, so that the reading goes on, over zeros, and is told afterwards.
 *
 * A SIGBUS of any other origin goes to the action that was installed before ours.
 */
#ifndef MEMTRACK_GUARD_H
#define MEMTRACK_GUARD_H

#include <stddef.h>

/* Guards one mapping of the calling thread; no nesting. Page-aligned. Returns 0 or an errno. */
int memtrack_guard_begin(const void *base, size_t bytes);

/* Ends the guard; returns the number of faults met. If it is not 0, part of the mapping is zero
 * pages now and the caller has to map the file anew. */
unsigned memtrack_guard_end(void);

/* 1 if the file lies on tmpfs, where reading a hole through a mapping allocates memory; else 0.
 * (Here because Swift's Glibc module has no statfs.) */
int memtrack_guard_is_tmpfs(int descriptor);

#endif
