/* SPDX-License-Identifier: Apache-2.0
 *
 * Python call stacks of what CPython allocates: `handler (bot.py:42)` instead of the interpreter's C frames.
 *
 * The stack is read from the interpreter's own chain of frames, with the offsets of each version. Only the wrapped
 * allocator gets here, so the thread holds the GIL (its identity is compared all the same) and the chain
 * stands still: all that is read is the interpreter's live data.
 *
 * DATA MODEL. One WORD a frame names code object and instruction: from 3.11 on the address of the instruction, which lies in
 * the code object; before that the address of the code object, with the instruction's number in the upper 16 bits. A CACHE in
 * each bank goes from (words, size class) to the cell; all words are compared, so the answer is exact as long as code
 * objects live. When one is freed its address may become another's: python_free asks for each block whether it
 * is a known code object, and then the generation goes up, which empties all caches.
 *
 * In the region a code object is a module record (flag MEMTRACK_MODULE_PYTHON) with "function\nfile", and a frame is a node
 * whose address is the line. So a reader can name stacks after the interpreter is gone.
 */
#include "counters.h"
#include "python.h"

#include <dlfcn.h>

#define MEMTRACK_PYTHON_DEPTH 48u
#define MEMTRACK_PYTHON_ENTRIES 2048u
#define MEMTRACK_PYTHON_LINES 4096u
#define MEMTRACK_PYTHON_CODES 16384u
#define MEMTRACK_PYTHON_PROBES 32u
#define MEMTRACK_PYTHON_MODULES 3500u /* leaves room for loaded objects */

struct layout {
    uint16_t thread_id, frames; /* in PyThreadState: the owner; the innermost frame, or what leads to it */
    int16_t frames_next;        /* offset in what `frames` points to, -1: it is the frame itself */
    uint16_t code, back, instruction, owner; /* in a frame; owner 0: there are none that are not Python's */
    uint16_t name, file, first; /* in a code object: names, and where its instructions begin (0: by number) */
    uint16_t ascii, compact;    /* header bytes of strings */
};
static const struct layout layouts[] = {
    {176, 24, -1, 32, 24, 104, 0, 112, 104, 0, 48, 72},  /* 3.8 */
    {176, 24, -1, 32, 24, 104, 0, 112, 104, 0, 48, 72},  /* 3.9 */
    {176, 24, -1, 32, 24, 96, 0, 112, 104, 0, 48, 72},   /* 3.10 */
    {152, 56, 8, 32, 48, 56, 0, 128, 112, 184, 48, 72},  /* 3.11 */
    {136, 56, 0, 0, 8, 56, 70, 128, 112, 192, 40, 56},   /* 3.12 */
    {152, 72, -1, 0, 8, 56, 70, 128, 112, 200, 40, 56},  /* 3.13 */
};
#define MEMTRACK_OWNED_BY_C 3

struct entry {
    uint32_t generation, count, size_class, cell;
    struct memtrack_counters *counters;
    uint64_t word[MEMTRACK_PYTHON_DEPTH];
};

/* What a frame's word says: the interpreter decodes a code object's table from its start for each question, which would be
 * most of what a new stack costs. Exact for the same reason as the cache of stacks: code and word are compared, and the
 * generation goes up when a code object is freed. */
struct line {
    uint64_t word, code;
    uint32_t generation, line;
    uint16_t module;
};
struct cache {
    struct entry entries[MEMTRACK_PYTHON_ENTRIES];
    struct line lines[MEMTRACK_PYTHON_LINES];
};

static struct layout at;
static uint32_t minor_version; /* 0: no stacks are taken */
static const char *(*get_thread)(void);
static int (*line_of)(const void *code, int instruction);
static uint32_t generation = 1;
static struct cache *caches[MEMTRACK_BANKS];
static uint64_t codes[MEMTRACK_PYTHON_CODES]; /* address << 16 | module; 0 never used, 1 given back */
static uint64_t texts[MEMTRACK_PYTHON_CODES]; /* hash << 16 | module */

void memtrack_python_stacks(uint32_t minor)
{
    const char *value = memtrack_config_value("MEMTRACK_PYTHON_STACKS");
    *(void **)&get_thread = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    if (!get_thread)
        *(void **)&get_thread = dlsym(RTLD_DEFAULT, "PyThreadState_GetUnchecked"); /* its name from 3.13 on */
    *(void **)&line_of = dlsym(RTLD_DEFAULT, "PyCode_Addr2Line");
    dlerror(); /* as in memtrack_resolve */
    if ((value && value[0] == '0') || !get_thread || !line_of || memtrack_rt.special)
        return;
    at = layouts[minor - 8];
    minor_version = minor;
}

#define WORD(base, offset) (*(const uint64_t *)(const void *)((const char *)(base) + (offset)))

/* Words of the frames, innermost first; more than MEMTRACK_PYTHON_DEPTH: there are more. 0: no Python code runs here. */
static uint32_t read_frames(uint64_t word[MEMTRACK_PYTHON_DEPTH], const char *code[MEMTRACK_PYTHON_DEPTH])
{
    const char *thread = get_thread();
    uintptr_t self;
    __asm__("movq %%fs:0x10, %0" : "=r"(self)); /* pthread_self() */
    if (MEMTRACK_UNLIKELY(!thread) || MEMTRACK_UNLIKELY(WORD(thread, at.thread_id) != self))
        return 0;
    uint64_t frame = WORD(thread, at.frames);
    if (frame && at.frames_next >= 0)
        frame = WORD(frame, at.frames_next);
    uint32_t count = 0;
    for (uint32_t i = 0; frame && i < 2 * MEMTRACK_PYTHON_DEPTH; i++, frame = WORD(frame, at.back)) {
        if (at.owner && *((const uint8_t *)frame + at.owner) == MEMTRACK_OWNED_BY_C)
            continue;
        if (count == MEMTRACK_PYTHON_DEPTH)
            return count + 1;
        uint64_t object = WORD(frame, at.code);
        if (code)
            code[count] = (const char *)object;
        if (at.first) {
            word[count++] = WORD(frame, at.instruction);
        } else {
            int32_t number = *(const int32_t *)(const void *)((const char *)frame + at.instruction);
            if (number > 65534)
                return 0;
            word[count++] = object | (uint64_t)(uint16_t)(number + 1) << 48;
        }
    }
    return count;
}

/* The text of a str, up to `room` bytes, without what could break a line; returns how many. */
static uint32_t copy_text(char *to, uint32_t room, uint64_t text)
{
    if (!text)
        return 0;
    uint32_t state = *(const uint32_t *)(const void *)((const char *)text + 32);
    uint32_t kind = state >> 2 & 7;
    uint64_t length = WORD(text, 16);
    bool is_ascii = state >> 6 & 1;
    if (!(state >> 5 & 1) || (kind != 1 && kind != 2 && kind != 4))
        return 0; /* not in one piece: no name of a code object is so */
    const char *data = (const char *)text + (is_ascii ? at.ascii : at.compact);
    uint32_t used = 0;
    for (uint64_t i = 0; i < length && used + 4 <= room; i++) {
        uint32_t c = kind == 1 ? ((const uint8_t *)data)[i]
                   : kind == 2 ? ((const uint16_t *)(const void *)data)[i]
                               : ((const uint32_t *)(const void *)data)[i];
        if (c < 32)
            c = '?';
        if (c < 0x80) {
            to[used++] = (char)c;
        } else if (c < 0x800) {
            to[used++] = (char)(0xc0 | c >> 6);
            to[used++] = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            to[used++] = (char)(0xe0 | c >> 12);
            to[used++] = (char)(0x80 | (c >> 6 & 63));
            to[used++] = (char)(0x80 | (c & 63));
        } else {
            to[used++] = (char)(0xf0 | (c >> 18 & 7));
            to[used++] = (char)(0x80 | (c >> 12 & 63));
            to[used++] = (char)(0x80 | (c >> 6 & 63));
            to[used++] = (char)(0x80 | (c & 63));
        }
    }
    return used;
}

/* The record of a text, made if need be; MEMTRACK_MODULE_NONE where there is no room. */
static uint16_t module_of_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *c = text; *c; c++)
        hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
    for (uint32_t i = 0; i < MEMTRACK_PYTHON_PROBES; i++) {
        uint64_t *place = &texts[(hash + i) % MEMTRACK_PYTHON_CODES];
        uint64_t found = MEMTRACK_LOAD(place);
        if (found && found >> 16 == hash >> 16 && memtrack_module_has_text((uint16_t)found, text))
            return (uint16_t)found;
        if (!found) {
            uint16_t module = memtrack_module_of_text(text, MEMTRACK_PYTHON_MODULES);
            if (module != MEMTRACK_MODULE_NONE)
                MEMTRACK_STORE(place, hash >> 16 << 16 | module);
            return module;
        }
    }
    return MEMTRACK_MODULE_NONE;
}

static uint64_t *code_place(uint64_t code, bool vacant)
{
    uint64_t hash = (code >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    uint64_t *free_place = NULL;
    for (uint32_t i = 0; i < MEMTRACK_PYTHON_PROBES; i++) {
        uint64_t *place = &codes[(hash + i) % MEMTRACK_PYTHON_CODES];
        uint64_t found = MEMTRACK_LOAD(place);
        if (found >> 16 == code)
            return place;
        if (found <= 1 && !free_place)
            free_place = place;
        if (!found)
            break;
    }
    return vacant ? free_place : NULL;
}

static uint16_t module_of_code(uint64_t code)
{
    uint64_t *place = code_place(code, true);
    if (!place)
        return MEMTRACK_MODULE_NONE;
    if (*place > 1)
        return (uint16_t)*place;
    char text[440];
    uint32_t used = copy_text(text, 160, WORD(code, at.name));
    text[used++] = '\n';
    used += copy_text(text + used, (uint32_t)sizeof(text) - 1 - used, WORD(code, at.file));
    text[used] = 0;
    uint16_t module = module_of_text(text);
    if (module != MEMTRACK_MODULE_NONE)
        MEMTRACK_STORE(place, code << 16 | module);
    return module;
}

void memtrack_python_forget(const void *block)
{
    if (MEMTRACK_UNLIKELY(!minor_version))
        return;
    uint64_t *place = code_place((uint64_t)(uintptr_t)block, false);
    if (MEMTRACK_LIKELY(!place))
        return;
    MEMTRACK_STORE(place, UINT64_C(1));
    MEMTRACK_ADD(&generation, 1);
}

void memtrack_python_after_fork(void)
{
    MEMTRACK_ADD(&generation, 1);
    if (!minor_version)
        return;
    __builtin_memset(codes, 0, sizeof(codes));
    __builtin_memset(texts, 0, sizeof(texts));
}

/* NULL where its module cannot be recorded. */
static const struct line *line_at(struct cache *cache, uint64_t word, const char *code)
{
    uint64_t object = (uint64_t)(uintptr_t)code;
    uint32_t now = MEMTRACK_LOAD(&generation);
    struct line *line = &cache->lines[(word * UINT64_C(0x9e3779b97f4a7c15) >> 40) % MEMTRACK_PYTHON_LINES];
    if (MEMTRACK_LIKELY(line->word == word && line->code == object && line->generation == now))
        return line;
    uint16_t module = module_of_code(object);
    if (module == MEMTRACK_MODULE_NONE)
        return NULL;
    int instruction = at.first ? (int)(word - object - at.first) : (int)(word >> 48) - 1;
    if (minor_version == 10)
        instruction *= 2;
    int number = line_of(code, instruction);
    line->generation = 0; /* a handler may leave in the midst of this */
    MEMTRACK_SIGNAL_FENCE();
    *line = (struct line){word, object, 0, number > 0 ? (uint32_t)number : 0, module};
    MEMTRACK_SIGNAL_FENCE();
    line->generation = now;
    return line;
}

/* The node of a Python stack, 0 where it cannot be recorded. */
static uint32_t intern(struct memtrack_thread *thread, struct cache *cache, const uint64_t *word, const char *const *code,
                       uint32_t count)
{
    struct memtrack_walk *walk = thread->walk;
    bool is_cut = count > MEMTRACK_PYTHON_DEPTH || count > memtrack_rt.stack_depth;
    if (count > MEMTRACK_PYTHON_DEPTH)
        count = MEMTRACK_PYTHON_DEPTH;
    if (count > memtrack_rt.stack_depth)
        count = memtrack_rt.stack_depth;
    memtrack_walk_begin(walk);
    walk->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct line *line = line_at(cache, word[i], code[i]);
        if (!line)
            return 0;
        walk->frame[i] = (struct memtrack_frame){.ip = line->line, .module = line->module};
    }
    return memtrack_nodes(walk, count, is_cut ? MEMTRACK_NODE_TRUNCATED : 0);
}

struct memtrack_counters *memtrack_python_charge(struct memtrack_thread *thread, const uintptr_t *frame, uint64_t size,
                                                 uint32_t *cell)
{
    uint64_t word[MEMTRACK_PYTHON_DEPTH];
    uint32_t count = minor_version ? read_frames(word, NULL) : 0;
    struct cache *cache = caches[thread->bank_index];
    if (MEMTRACK_UNLIKELY(!cache) && count)
        cache = caches[thread->bank_index] = memtrack_map_private(sizeof(struct cache));
    if (!count || !cache)
        return memtrack_charge(thread, frame, size, cell);
    uint32_t size_class = memtrack_size_class(size);
    uint32_t now = MEMTRACK_LOAD(&generation);
    uint32_t words = count < MEMTRACK_PYTHON_DEPTH ? count : MEMTRACK_PYTHON_DEPTH;
    uint64_t hash = size_class;
    for (uint32_t i = 0; i < words; i++)
        hash = (hash ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15) + (hash >> 29);
    struct entry *entry = &cache->entries[hash >> 40 & (MEMTRACK_PYTHON_ENTRIES - 1)];
    if (MEMTRACK_LIKELY(entry->generation == now && entry->count == count && entry->size_class == size_class)) {
        uint64_t different = 0;
        for (uint32_t i = 0; i < words; i++)
            different |= entry->word[i] ^ word[i];
        if (MEMTRACK_LIKELY(!different)) {
            *cell = entry->cell;
            return entry->counters;
        }
    }
    const char *code[MEMTRACK_PYTHON_DEPTH];
    read_frames(word, code);
    uint32_t stack = intern(thread, cache, word, code, count);
    *cell = stack ? memtrack_cell(stack, size_class) : 0;
    struct memtrack_counters *counters = *cell >= MEMTRACK_FIRST_CELL ? memtrack_counters_for(thread, *cell, size) : NULL;
    if (!counters)
        return memtrack_charge(thread, frame, size, cell);
    if (memtrack_counters_are_shared(counters))
        return counters;
    entry->generation = 0; /* as in line_at */
    MEMTRACK_SIGNAL_FENCE();
    entry->count = count;
    entry->size_class = size_class;
    entry->cell = *cell;
    entry->counters = counters;
    __builtin_memcpy(entry->word, word, words * sizeof(word[0]));
    MEMTRACK_SIGNAL_FENCE();
    entry->generation = now;
    return counters;
}
