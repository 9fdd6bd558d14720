/* SPDX-License-Identifier: Apache-2.0
 *
 * memtrack_peek.h - reading the memory of another process: process_vm_readv(2), which Swift does not import.
 */
#ifndef MEMTRACK_PEEK_H
#define MEMTRACK_PEEK_H

#include <stddef.h>
#include <stdint.h>

/* Copies up to `bytes` bytes from `address` in process `pid`. Returns how many could be read, fewer where a page
 * cannot be (0 where the first cannot), or a negative errno. */
long memtrack_peek(int pid, uint64_t address, void *buffer, size_t bytes);

#endif
