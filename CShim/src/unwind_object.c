/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_object.c - which loaded object holds an address.
 *
 * Asks glibc's _dl_find_object (2.35), the only way to learn this without the loader's lock. It is a weak
 * reference: with an older C library no object is ever found, and the shim uses another unwinder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "unwind.h"

#if defined(__GLIBC__) && defined(DLFO_STRUCT_HAS_EH_DBASE)

extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

bool memtrack_object_find(uintptr_t pc, struct memtrack_object *out)
{
    struct dl_find_object found;
    if (!_dl_find_object || _dl_find_object((void *)pc, &found) != 0)
        return false;
    out->eh_frame_hdr = found.dlfo_eh_frame;
    out->start = (uintptr_t)found.dlfo_map_start;
    out->end = (uintptr_t)found.dlfo_map_end;
    out->link_map = found.dlfo_link_map;
    /* An executable whose segments do not touch is known to the loader segment by segment, and its
     * .eh_frame is in another one than its code. */
    uintptr_t header = (uintptr_t)out->eh_frame_hdr;
    if (header != 0 && (header < out->start || header >= out->end))
        out->end = 0;
    return true;
}

#else

bool memtrack_object_find(uintptr_t pc, struct memtrack_object *out)
{
    (void)pc;
    (void)out;
    return false;
}

#endif
