/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking a function up in one loaded object by its own hash table: dlsym takes the loader's lock, and looks elsewhere too.
 * Used for operators that a library brings for itself, and for the clock of the vDSO. Versions do not matter for these.
 *
 * And asking dlsym for what need not be there. A dlsym that fails writes a message into memory from the loader's malloc, which
 * is the program's own where that has one: before its main, when its heap is not what it will be (GNU Common Lisp lays out
 * its own there, and does not live through it), or under its lock. So it is asked for what some object defines.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

struct tables {
    const uint32_t *gnu_hash;
    const uint32_t *hash;
    const ElfW(Sym) *symbols;
    const char *strings;
};

static uint32_t hash_of(const char *name)
{
    uint32_t hash = 5381;
    while (*name)
        hash = hash * 33 + (uint8_t)*name++;
    return hash;
}

static bool is_named(const struct tables *tables, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &tables->symbols[index];
    return symbol->st_shndx != SHN_UNDEF && __builtin_strcmp(tables->strings + symbol->st_name, name) == 0;
}

/* Index of the symbol, 0 where there is none. */
static uint32_t find(const struct tables *tables, const char *name)
{
    if (!tables->gnu_hash) { /* the older table is small where it is the only one */
        for (uint32_t i = 1; tables->hash && i < tables->hash[1]; i++)
            if (is_named(tables, i, name))
                return i;
        return 0;
    }
    const uint32_t *table = tables->gnu_hash;
    uint32_t buckets = table[0], first = table[1], words = table[2], shift = table[3], hash = hash_of(name);
    const uint64_t *bloom = (const uint64_t *)(const void *)(table + 4);
    if (!buckets || !words)
        return 0;
    uint64_t word = bloom[hash / 64 % words];
    if (!(word >> hash % 64 & word >> (hash >> shift) % 64 & 1))
        return 0;
    const uint32_t *bucket = (const uint32_t *)(const void *)(bloom + words), *chain = bucket + buckets;
    for (uint32_t i = bucket[hash % buckets]; i && i >= first; i++) {
        if ((chain[i - first] | 1) == (hash | 1) && is_named(tables, i, name))
            return i;
        if (chain[i - first] & 1)
            break;
    }
    return 0;
}

static const ElfW(Sym) *symbol_of(const void *dynamic, uintptr_t pointer_bias, const char *name)
{
    struct tables tables = {NULL, NULL, NULL, NULL};
    for (const ElfW(Dyn) *entry = dynamic; entry && entry->d_tag != DT_NULL; entry++) {
        const void *at = (const void *)(entry->d_un.d_ptr + pointer_bias);
        if (entry->d_tag == DT_GNU_HASH)
            tables.gnu_hash = at;
        else if (entry->d_tag == DT_HASH)
            tables.hash = at;
        else if (entry->d_tag == DT_SYMTAB)
            tables.symbols = at;
        else if (entry->d_tag == DT_STRTAB)
            tables.strings = at;
    }
    uint32_t index = tables.symbols && tables.strings ? find(&tables, name) : 0;
    return index ? &tables.symbols[index] : NULL;
}

void *memtrack_symbol(const void *dynamic, uintptr_t bias, uintptr_t pointer_bias, const char *name)
{
    const ElfW(Sym) *symbol = symbol_of(dynamic, pointer_bias, name);
    return symbol && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC ? (void *)(bias + symbol->st_value) : NULL;
}

static const struct link_map *own_object(void)
{
    struct memtrack_object own;
    return memtrack_object_find((uintptr_t)&own_object, &own) ? own.link_map : NULL;
}

/* The first object that defines a name, behind this library or in the program's scope. The objects stand in the order in
 * which they are searched. Called before there is a second thread, or a dlclose. */
static const struct link_map *definer(const struct link_map *own, void *where, const char *name)
{
    const struct link_map *at = own;
    if (where == RTLD_NEXT)
        at = at->l_next;
    else
        while (at->l_prev)
            at = at->l_prev;
    for (uintptr_t vdso = getauxval(AT_SYSINFO_EHDR); at; at = at->l_next) /* the vDSO's pointers are not relocated */
        if (at->l_ld && at->l_addr != vdso && symbol_of(at->l_ld, 0, name))
            return at;
    return NULL;
}

void *memtrack_dlsym(void *where, const char *name)
{
    const struct link_map *own = own_object();
    return !own || definer(own, where, name) ? dlsym(where, name) : NULL;
}

bool memtrack_is_first_definition(const char *name)
{
    const struct link_map *own = own_object();
    return own && definer(own, RTLD_DEFAULT, name) == own;
}

/* The kernel's clock, straight from its vDSO: libc's function may be another library's (sanitizers, faketime), which
 * allocates, locks, or is not ready yet. */
static int (*vdso_clock)(clockid_t, struct timespec *);

void memtrack_clock_find(void)
{
    uintptr_t base = getauxval(AT_SYSINFO_EHDR);
    if (!base)
        return;
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)base;
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(base + elf->e_phoff);
    uintptr_t bias = base, dynamic = 0;
    for (int i = 0; i < elf->e_phnum; i++) {
        if (ph[i].p_type == PT_LOAD)
            bias = base + ph[i].p_offset - ph[i].p_vaddr;
        else if (ph[i].p_type == PT_DYNAMIC)
            dynamic = base + ph[i].p_offset;
    }
    *(void **)&vdso_clock = memtrack_symbol((const void *)dynamic, bias, bias, "__vdso_clock_gettime");
}

uint64_t memtrack_clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};
    if (!vdso_clock || vdso_clock(clock, &now) != 0)
        memtrack_sys3(SYS_clock_gettime, clock, &now, 0);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}
