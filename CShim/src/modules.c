/* SPDX-License-Identifier: Apache-2.0
 *
 * Which loaded object an address belongs to, as an index into the region's module table.
 *
 * An object that was unmapped and mapped again at the same place is the same module only if path and build id
 * are the same. That is checked once after each dlclose (generation), so a stack never mixes two libraries
 * that shared an address, and reloading one library a thousand times adds nothing to the tables.
 *
 * Two threads that meet an object at the same moment may record it twice; readers tell modules by path and build id, so
 * the two are one there, and the price is a record.
 *
 * Rules: reads the object's own headers in memory and its link_map, which cannot go away while one of its
 * functions is on the stack of the calling thread.
 */
#define _GNU_SOURCE
#include "python.h"
#include "runtime.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#define MEMTRACK_MODULES_COPIED 64u
#define MEMTRACK_KNOWN_OBJECTS 4096u

/* The loaded objects among the records: a private copy of what the look-up needs. */
static MEMTRACK_LARGE struct known {
    uintptr_t start;
    uintptr_t end;
    uint32_t generation; /* checked in this one; UINT32_MAX: not filled */
    uint32_t index;      /* of its record */
} known[MEMTRACK_KNOWN_OBJECTS];
static uint32_t known_count;
static uint32_t next_index = 1;

/* The main program from its first to its last segment, as the kernel passed its program headers. The loader describes
 * a program whose segments do not touch by segment (object->end is 0 then), and we want one module. */
static bool main_program(struct memtrack_object *object)
{
    static uintptr_t start, end;
    if (!MEMTRACK_LOAD_ACQUIRE(&end)) {
        const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
        unsigned long count = getauxval(AT_PHNUM);
        const struct link_map *map = object->link_map;
        uintptr_t low = UINTPTR_MAX, high = 0;
        for (unsigned long i = 0; ph && i < count; i++) {
            if (ph[i].p_type != PT_LOAD)
                continue;
            uintptr_t from = (map->l_addr + ph[i].p_vaddr) & ~(uintptr_t)(MEMTRACK_PAGE - 1);
            uintptr_t to = map->l_addr + ph[i].p_vaddr + ph[i].p_memsz;
            low = from < low ? from : low;
            high = to > high ? to : high;
        }
        if (low >= high)
            return false;
        start = low;
        MEMTRACK_STORE_RELEASE(&end, high);
    }
    object->start = start;
    object->end = end;
    return true;
}

struct build_id {
    const uint8_t *bytes;
    uint32_t count;
};

static struct build_id find_build_id(const struct memtrack_object *object, uintptr_t bias)
{
    struct build_id none = {NULL, 0};
    const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)object->start;
    if (object->end - object->start < sizeof(*elf) || __builtin_memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
        elf->e_phentsize != sizeof(ElfW(Phdr)) ||
        elf->e_phoff + (uint64_t)elf->e_phnum * sizeof(ElfW(Phdr)) > MEMTRACK_PAGE)
        return none;
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(object->start + elf->e_phoff);
    for (int i = 0; i < elf->e_phnum; i++) {
        if (ph[i].p_type != PT_NOTE)
            continue;
        uintptr_t at = bias + ph[i].p_vaddr;
        uintptr_t end = at + ph[i].p_memsz;
        if (at < object->start || end > object->end || at > end)
            continue;
        while (end - at >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            uint64_t body = sizeof(*note) + (((uint64_t)note->n_namesz + 3) & ~UINT64_C(3));
            uint64_t whole = body + (((uint64_t)note->n_descsz + 3) & ~UINT64_C(3));
            if (whole > end - at)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && note->n_descsz <= 32)
                return (struct build_id){(const uint8_t *)at + body, note->n_descsz};
            at += whole;
        }
    }
    return none;
}

static const char *object_path(const struct link_map *map)
{
    return map->l_name && map->l_name[0] ? map->l_name : memtrack_rt.executable;
}

static struct memtrack_module *record(uint32_t index)
{
    struct memtrack_module *chunk =
        memtrack_region_chunk(memtrack_rt.region, index / MEMTRACK_MODULES_PER_CHUNK, MEMTRACK_ENTRY(modules));
    return chunk ? chunk + index % MEMTRACK_MODULES_PER_CHUNK : NULL;
}

static void publish(struct memtrack_module *module, uint32_t index)
{
    struct memtrack_header *region = memtrack_rt.region;
    MEMTRACK_STORE_RELEASE(&module->state, 1u);
    uint32_t next = MEMTRACK_LOAD(&region->module_next);
    while (next < index + 1 && !__atomic_compare_exchange_n(&region->module_next, &next, index + 1, false,
                                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
    }
}

static bool same_object(const struct memtrack_module *module, const char *path, struct build_id id)
{
    if (module->build_id_bytes != id.count || __builtin_memcmp(module->build_id, id.bytes, id.count) != 0)
        return false;
    for (size_t i = 0; i < sizeof(module->path) - 1; i++) {
        if (module->path[i] != path[i])
            return false;
        if (!path[i])
            return true;
    }
    return true;
}

/* The next unused index; 0 where there is none below `most`. */
static uint32_t take_index(uint32_t most)
{
    uint32_t index = MEMTRACK_LOAD(&next_index);
    while (index < most && !__atomic_compare_exchange_n(&next_index, &index, index + 1, false, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
    return index < most ? index : 0;
}

/* A new entry of `known`, not filled; NULL where there is none. */
static struct known *take_known(void)
{
    uint32_t place = MEMTRACK_LOAD(&known_count);
    do {
        if (place >= MEMTRACK_KNOWN_OBJECTS)
            return NULL;
        known[place].generation = UINT32_MAX;
    } while (!__atomic_compare_exchange_n(&known_count, &place, place + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return &known[place];
}

/* The index for an object on the stack; MEMTRACK_MODULE_NONE where the table is full. Called once for a place in code. */
uint16_t memtrack_module_index(const struct memtrack_object *found)
{
    struct memtrack_header *region = memtrack_rt.region;
    struct memtrack_object whole = *found;
    const struct memtrack_object *object = &whole;
    if (!region || (!whole.end && !main_program(&whole)))
        return MEMTRACK_MODULE_NONE;
    uint32_t generation = MEMTRACK_LOAD(&region->module_generation);
    uint32_t count = MEMTRACK_LOAD_ACQUIRE(&known_count);
    const struct link_map *map = object->link_map;
    for (uint32_t i = count; i-- > 0;) {
        if (known[i].start != object->start || known[i].end != object->end)
            continue;
        uint32_t checked = MEMTRACK_LOAD_ACQUIRE(&known[i].generation);
        uint32_t index = known[i].index;
        if (checked == generation)
            return (uint16_t)index;
        if (checked == UINT32_MAX)
            continue;
        struct memtrack_module *module = record(index);
        if (module && same_object(module, object_path(map), find_build_id(object, map->l_addr))) {
            MEMTRACK_STORE_RELEASE(&known[i].generation, generation);
            return (uint16_t)index;
        }
    }

    struct known *entry = take_known();
    uint32_t index = entry ? take_index(MEMTRACK_MODULES) : 0;
    struct memtrack_module *module = index ? record(index) : NULL;
    if (!module) {
        MEMTRACK_HEALTH(lost_modules, 1);
        return MEMTRACK_MODULE_NONE;
    }
    struct build_id id = find_build_id(object, map->l_addr);
    const char *path = object_path(map);
    module->start = object->start;
    module->end = object->end;
    module->bias = map->l_addr;
    module->generation = generation;
    module->build_id_bytes = id.count;
    if (id.count)
        __builtin_memcpy(module->build_id, id.bytes, id.count);
    size_t i = 0;
    for (; path[i] && i < sizeof(module->path) - 1; i++)
        module->path[i] = path[i];
    module->path[i] = 0;
    module->flags = path[i] ? MEMTRACK_MODULE_PATH_CUT : 0;
    publish(module, index);
    entry->start = object->start;
    entry->end = object->end;
    entry->index = index;
    MEMTRACK_STORE_RELEASE(&entry->generation, generation);
    return (uint16_t)index;
}

/* Records that are no loaded object but a text (python_stacks.c). */
uint16_t memtrack_module_of_text(const char *text, uint32_t most)
{
    uint32_t index = take_index(most);
    struct memtrack_module *module = index ? record(index) : NULL;
    if (!module)
        return MEMTRACK_MODULE_NONE;
    size_t i = 0;
    for (; text[i] && i < sizeof(module->path) - 1; i++)
        module->path[i] = text[i];
    module->path[i] = 0;
    module->flags = MEMTRACK_MODULE_PYTHON;
    publish(module, index);
    return (uint16_t)index;
}

bool memtrack_module_has_text(uint16_t index, const char *text)
{
    const struct memtrack_module *module = record(index);
    return module && module->flags & MEMTRACK_MODULE_PYTHON && __builtin_strcmp(module->path, text) == 0;
}

/* The child's region lacks its parent's records: they are copied to the same indexes, for the sake of the rules that name
 * them (decoding those again was a quarter of the life of a subshell). Not so where there are many. */
void memtrack_modules_after_fork(struct memtrack_header *parent)
{
    if (known_count > MEMTRACK_MODULES_COPIED)
        known_count = 0;
    bool all = known_count > 0;
    next_index = 1;
    for (uint32_t i = 0; all && i < known_count; i++) {
        uint32_t index = known[i].index;
        if (known[i].generation == UINT32_MAX)
            continue; /* no rule names it */
        uint32_t page = memtrack_directory(parent, index / MEMTRACK_MODULES_PER_CHUNK)->modules;
        const struct memtrack_module *theirs =
            (const struct memtrack_module *)memtrack_page_of(parent, page) + index % MEMTRACK_MODULES_PER_CHUNK;
        struct memtrack_module *module = page ? record(index) : NULL;
        all = module != NULL;
        if (!all)
            break;
        *module = *theirs;
        publish(module, index);
        if (next_index <= index)
            next_index = index + 1;
    }
    memtrack_rt.region->module_generation = parent->module_generation + (all ? 0 : 1);
    memtrack_python_after_fork();
}
