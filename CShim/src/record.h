/* SPDX-License-Identifier: Apache-2.0
 *
 * Recording for hooks outside interpose.c; out of line.
 */
#ifndef MEMTRACK_RECORD_H
#define MEMTRACK_RECORD_H

#include <stdbool.h>
#include <stdint.h>

void *memtrack_record(void *block, uint64_t size, const uintptr_t *frame);   /* returns block; NULL is fine */
void memtrack_record_free(void *block, const uintptr_t *frame);              /* record alone */
void memtrack_release(void *block, const uintptr_t *frame);                  /* record and free */
void memtrack_sample_ways(void); /* the hooks sample from now on */
void memtrack_sample_new(void);  /* new.c: new and delete too */
bool memtrack_is_first(void); /* ours is the malloc that the program calls; else its blocks are not ours to free */
void memtrack_resolve_first(void);

struct memtrack_block memtrack_realloc_begin(void *block, const uintptr_t *frame);
/* the new block is counted already */
void memtrack_realloc_freed(struct memtrack_block found, const uintptr_t *frame);
void memtrack_realloc_end(void *block, struct memtrack_block found, void *fresh, uint64_t size, const uintptr_t *frame);

#endif
