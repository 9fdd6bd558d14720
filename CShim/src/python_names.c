/* SPDX-License-Identifier: Apache-2.0
 *
 * What Python code is called, in the region: a code object is a module record (flag MEMTRACK_MODULE_PYTHON) with
 * "function\nfile", and a frame is a node whose address is the line. So a reader can name stacks after the interpreter is
 * gone.
 *
 * Two tables for the process: from code object to record, and from text to record.
 */
#include "python_frames.h"

#define MEMTRACK_PYTHON_CODES 32768u
#define MEMTRACK_PYTHON_PROBES 32u
#define MEMTRACK_PYTHON_MODULES 24576u /* leaves room for loaded objects, and in the tables below */

static MEMTRACK_LARGE uint64_t codes[MEMTRACK_PYTHON_CODES]; /* address << 16 | module; 0 never used, 1 given back */
static MEMTRACK_LARGE uint64_t texts[MEMTRACK_PYTHON_CODES]; /* hash << 16 | module */
MEMTRACK_LARGE uint64_t memtrack_python_seen[MEMTRACK_PYTHON_SEEN_BITS / 64]; /* never cleared: may say yes too often, not no */

/* The text of a str, up to `room` bytes, without what could break a line; returns how many. */
static uint32_t copy_text(const struct memtrack_python_layout *at, char *to, uint32_t room, uint64_t text)
{
    if (!text)
        return 0;
    uint32_t state = *(const uint32_t *)(const void *)((const char *)text + 32);
    uint32_t kind = state >> 2 & 7;
    uint64_t length = MEMTRACK_PYTHON_WORD(text, 16);
    bool is_ascii = state >> 6 & 1;
    if (!(state >> 5 & 1) || (kind != 1 && kind != 2 && kind != 4))
        return 0; /* not in one piece: no name of a code object is so */
    const char *data = (const char *)text + (is_ascii ? at->ascii : at->compact);
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

uint16_t memtrack_python_module(const struct memtrack_python_layout *at, uint64_t code)
{
    uint64_t *place = code_place(code, true);
    if (!place)
        return MEMTRACK_MODULE_NONE;
    if (*place > 1)
        return (uint16_t)*place;
    char text[440];
    uint32_t used = copy_text(at, text, 160, MEMTRACK_PYTHON_WORD(code, at->name));
    text[used++] = '\n';
    used += copy_text(at, text + used, (uint32_t)sizeof(text) - 1 - used, MEMTRACK_PYTHON_WORD(code, at->file));
    text[used] = 0;
    uint16_t module = module_of_text(text);
    if (module != MEMTRACK_MODULE_NONE) {
        uint32_t hash = memtrack_python_hash(code >> 4, 0, MEMTRACK_PYTHON_SEEN_BITS);
        __atomic_fetch_or(&memtrack_python_seen[hash / 64], UINT64_C(1) << hash % 64, __ATOMIC_RELAXED);
        MEMTRACK_STORE(place, code << 16 | module);
    }
    return module;
}

bool memtrack_python_is_known_code(uint64_t code)
{
    return code_place(code, false) != NULL;
}

void memtrack_python_forget_code(uint64_t code)
{
    uint64_t *place = code_place(code, false);
    if (place)
        MEMTRACK_STORE(place, UINT64_C(1));
}

void memtrack_python_names_after_fork(void)
{
    __builtin_memset(codes, 0, sizeof(codes));
    __builtin_memset(texts, 0, sizeof(texts));
}
