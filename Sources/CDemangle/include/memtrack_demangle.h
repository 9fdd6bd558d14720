/* SPDX-License-Identifier: Apache-2.0
 *
 * memtrack_demangle.h - one door to all demanglers: libiberty for C++, Rust and
 * D, the Swift runtime for Swift.
 */
#ifndef MEMTRACK_DEMANGLE_H
#define MEMTRACK_DEMANGLE_H

#include <stddef.h>

/* Names longer than this, in bytes, are not demangled: it bounds the recursion. */
#define MEMTRACK_DEMANGLE_INPUT_LIMIT 8192u

/* A readable form longer than this, in bytes, counts as "not demangled":
 * substitutions let a name of 100 bytes grow to gigabytes. */
#define MEMTRACK_DEMANGLE_OUTPUT_LIMIT 262144u

/* The readable form of a symbol name, or NULL where the name is not mangled, is
 * mangled in no known way, or passes a limit above. The caller frees the result
 * with free(3). The name is trusted to end with NUL and nothing else. */
char *memtrack_demangle(const char *name);

#endif
