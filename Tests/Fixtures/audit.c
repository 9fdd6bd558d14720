/* SPDX-License-Identifier: Apache-2.0
 *
 * A library for LD_AUDIT that looks at each call through a PLT and, since it asks for a copy of the stack, at its end: the loader
 * then calls the function from code of its own.
 */
#define _GNU_SOURCE
#include <link.h>

unsigned la_version(unsigned version)
{
    return version;
}

unsigned la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie)
{
    (void)map, (void)space, (void)cookie;
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

Elf64_Addr la_x86_64_gnu_pltenter(Elf64_Sym *symbol, unsigned index, uintptr_t *from, uintptr_t *to, La_x86_64_regs *registers,
                                  unsigned *flags, const char *name, long *frame_bytes)
{
    (void)index, (void)from, (void)to, (void)registers, (void)flags, (void)name;
    *frame_bytes = 64;
    return symbol->st_value;
}

unsigned la_x86_64_gnu_pltexit(Elf64_Sym *symbol, unsigned index, uintptr_t *from, uintptr_t *to,
                               const La_x86_64_regs *registers, La_x86_64_retval *result, const char *name)
{
    (void)symbol, (void)index, (void)from, (void)to, (void)registers, (void)result, (void)name;
    return 0;
}
