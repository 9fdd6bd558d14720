/* SPDX-License-Identifier: Apache-2.0
 *
 * elfutils as Swift sees it, and the few of its macros that do not import.
 */
#ifndef MEMTRACK_CELFUTILS_SHIM_H
#define MEMTRACK_CELFUTILS_SHIM_H

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>

static inline unsigned char memtrack_symbol_type(unsigned char info)
{
    return GELF_ST_TYPE(info);
}

static inline unsigned char memtrack_symbol_binding(unsigned char info)
{
    return GELF_ST_BIND(info);
}

#endif
