/* SPDX-License-Identifier: Apache-2.0
 *
 * From an instruction of a code object to its line, as PyCode_Addr2Line says it.
 *
 * The interpreter decodes a code object's table from its start for each question, and the code of a module is asked for one
 * instruction after the other while it runs, in order: so decoders are kept, and go on where they stopped. What was asked
 * stands in a cache of each bank, in which the lines of one code object form a group.
 *
 * The tables: 3.8, 3.9   pairs (bytes of code, signed change of the line), co_lnotab
 *             3.10       the same for ranges of code, -128: the range has no line, co_linetable
 *             3.11 on    entries of one range each, of several forms, co_linetable
 * They are the interpreter's own data, but are read with care: their length is known and minded.
 */
#include "python_frames.h"

#define MEMTRACK_PYTHON_GROUP 64u /* lines */
#define MEMTRACK_PYTHON_BYTES_LENGTH 16u
#define MEMTRACK_PYTHON_BYTES_DATA 32u

static uint8_t byte(struct memtrack_python_decoder *decoder)
{
    return decoder->next < decoder->end ? *decoder->next++ : 0;
}

static int64_t signed_number(struct memtrack_python_decoder *decoder)
{
    uint64_t value = 0;
    uint32_t shift = 0;
    uint8_t part;
    do {
        part = byte(decoder);
        value |= (uint64_t)(part & 63) << shift;
        shift += 6;
    } while (part & 64 && shift < 60);
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* An entry of 3.11: form and length, then the change of the line, then columns, which do not matter here. */
static void step_forms(struct memtrack_python_decoder *decoder)
{
    uint8_t first = byte(decoder);
    uint32_t form = first >> 3 & 15;
    decoder->from = decoder->until;
    decoder->until += 2 * ((first & 7) + 1);
    if (form == 13 || form == 14)
        decoder->computed += signed_number(decoder);
    else if (form >= 10 && form <= 12)
        decoder->computed += form - 10;
    while (decoder->next < decoder->end && !(*decoder->next & 128)) /* a first byte has the upper bit set, no other */
        decoder->next++;
    decoder->line = form == 15 ? -1 : decoder->computed;
}

static void step_ranges(struct memtrack_python_decoder *decoder)
{
    uint8_t bytes = byte(decoder);
    int8_t change = (int8_t)byte(decoder);
    decoder->from = decoder->until;
    decoder->until += bytes;
    if (change != -128)
        decoder->computed += change;
    decoder->line = change == -128 ? -1 : decoder->computed;
}

/* The change of a pair is that of what comes after its bytes. */
static void step_pairs(struct memtrack_python_decoder *decoder)
{
    decoder->from = decoder->until;
    decoder->line = decoder->computed;
    if (decoder->next == decoder->end) {
        decoder->until = INT64_MAX;
        return;
    }
    decoder->until += byte(decoder);
    decoder->computed += (int8_t)byte(decoder);
}

static int32_t first_line(const struct memtrack_python_layout *at, uint64_t code)
{
    return *(const int32_t *)(const void *)((const char *)code + at->first_line);
}

static struct memtrack_python_decoder start(const struct memtrack_python_layout *at, uint64_t code)
{
    uint64_t table = MEMTRACK_PYTHON_WORD(code, at->lines);
    const uint8_t *data = (const uint8_t *)table + MEMTRACK_PYTHON_BYTES_DATA;
    uint64_t length = MEMTRACK_PYTHON_WORD(table, MEMTRACK_PYTHON_BYTES_LENGTH);
    return (struct memtrack_python_decoder){.next = data, .end = data + length, .computed = first_line(at, code)};
}

static struct memtrack_python_decoder *decoder_of(struct memtrack_python_cache *cache, uint64_t code)
{
    return &cache->decoders[memtrack_python_hash(code >> 4, 0, MEMTRACK_PYTHON_DECODERS)];
}

/* The line of the instruction `bytes` after the first; 0 or less where it has none. */
static int64_t decode(const struct memtrack_python_layout *at, struct memtrack_python_cache *cache, uint64_t code,
                      int64_t bytes)
{
    if (bytes < 0)
        return first_line(at, code);
    struct memtrack_python_decoder *place = decoder_of(cache, code), decoder = *place;
    if (decoder.code != code || bytes < decoder.from)
        decoder = start(at, code);
    while (decoder.until <= bytes && (decoder.next < decoder.end || at->minor < 10)) {
        if (at->minor >= 11)
            step_forms(&decoder);
        else if (at->minor == 10)
            step_ranges(&decoder);
        else
            step_pairs(&decoder);
    }
    place->code = 0; /* a handler may leave in the midst of this */
    MEMTRACK_SIGNAL_FENCE();
    *place = decoder;
    MEMTRACK_SIGNAL_FENCE();
    place->code = code;
    return decoder.until > bytes ? decoder.line : 0;
}

static struct memtrack_python_line *group_of(struct memtrack_python_cache *cache, uint64_t code)
{
    uint32_t group = memtrack_python_hash(code >> 4, 0, MEMTRACK_PYTHON_LINES / MEMTRACK_PYTHON_GROUP);
    return &cache->lines[group * MEMTRACK_PYTHON_GROUP];
}

const struct memtrack_python_line *memtrack_python_line(const struct memtrack_python_layout *at,
                                                        struct memtrack_python_cache *cache, uint64_t word,
                                                        uint64_t code)
{
    struct memtrack_python_line *line = group_of(cache, code) + memtrack_python_hash(word, 0, MEMTRACK_PYTHON_GROUP);
    if (line->word == word && line->code == code)
        return line;
    uint16_t module = memtrack_python_module(at, code);
    if (module == MEMTRACK_MODULE_NONE) {
        MEMTRACK_HEALTH(lost_python_stacks, 1); /* the chain is given up: once an allocation */
        return NULL;
    }
    int64_t bytes = at->first ? (int64_t)(word - code - at->first) : (int64_t)(word >> 48) - 1;
    int64_t number = decode(at, cache, code, at->minor == 10 ? bytes * 2 : bytes);
    line->code = 0; /* as in decode */
    MEMTRACK_SIGNAL_FENCE();
    line->word = word;
    line->line = number > 0 ? (uint32_t)number : 0;
    line->module = module;
    MEMTRACK_SIGNAL_FENCE();
    line->code = code;
    return line;
}

void memtrack_python_forget_lines(struct memtrack_python_cache *cache, uint64_t code)
{
    struct memtrack_python_line *line = group_of(cache, code);
    for (uint32_t i = 0; i < MEMTRACK_PYTHON_GROUP; i++)
        if (line[i].code == code)
            line[i].code = 0;
    if (decoder_of(cache, code)->code == code)
        decoder_of(cache, code)->code = 0;
}
