/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_reader.h - reads .eh_frame data, within bounds.
 *
 * A READER is a range of readable memory [at, end) and a flag. A read that does not fit gives 0 and sets
 * `failed`, which stays set; so a parser may read a whole record and ask once. Addresses are integers
 * throughout: hostile offsets may wrap, and only `at <= end` decides what is loaded.
 */
#ifndef MEMTRACK_UNWIND_READER_H
#define MEMTRACK_UNWIND_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "unwind.h"

struct memtrack_reader {
    uintptr_t at, end; /* at <= end */
    bool failed;
};

/* From `address` to the end of the object. Failed if the address is not inside it. */
static inline struct memtrack_reader memtrack_reader_open(const struct memtrack_object *object,
                                                          uintptr_t address)
{
    uintptr_t end = object->end ? object->end : UINTPTR_MAX;
    if (address < object->start || address >= end)
        return (struct memtrack_reader){.failed = true};
    return (struct memtrack_reader){.at = address, .end = end};
}

static inline bool memtrack_reader_has(struct memtrack_reader *reader, uint64_t bytes)
{
    if (__builtin_expect(reader->end - reader->at >= bytes, 1))
        return true;
    reader->failed = true;
    reader->at = reader->end;
    return false;
}

#define MEMTRACK_READER_LOAD(name, type)                                                  \
    static inline type memtrack_reader_##name(struct memtrack_reader *reader)             \
    {                                                                                     \
        type value = 0;                                                                   \
        if (memtrack_reader_has(reader, sizeof value)) {                                  \
            __builtin_memcpy(&value, (const void *)reader->at, sizeof value);             \
            reader->at += sizeof value;                                                   \
        }                                                                                 \
        return value;                                                                     \
    }
MEMTRACK_READER_LOAD(u8, uint8_t)
MEMTRACK_READER_LOAD(i8, int8_t)
MEMTRACK_READER_LOAD(u16, uint16_t)
MEMTRACK_READER_LOAD(i16, int16_t)
MEMTRACK_READER_LOAD(u32, uint32_t)
MEMTRACK_READER_LOAD(i32, int32_t)
MEMTRACK_READER_LOAD(u64, uint64_t)
#undef MEMTRACK_READER_LOAD

static inline void memtrack_reader_skip(struct memtrack_reader *reader, uint64_t bytes)
{
    if (memtrack_reader_has(reader, bytes))
        reader->at += bytes;
}

/* The next `bytes` bytes as a reader of their own; this one goes on behind them. */
static inline struct memtrack_reader memtrack_reader_block(struct memtrack_reader *reader, uint64_t bytes)
{
    if (!memtrack_reader_has(reader, bytes))
        return (struct memtrack_reader){.failed = true};
    struct memtrack_reader block = {.at = reader->at, .end = reader->at + bytes};
    reader->at += bytes;
    return block;
}

/* The bytes of a LEB128 number. Bits past the 64th are dropped; the object's end bounds the loop. */
static inline uint64_t memtrack_reader_leb(struct memtrack_reader *reader, unsigned *width, uint8_t *last)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = memtrack_reader_u8(reader);
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += shift < 64 ? 7 : 0;
    } while (byte & 0x80);
    *width = shift;
    *last = byte;
    return value;
}

static inline uint64_t memtrack_reader_uleb(struct memtrack_reader *reader)
{
    if (reader->at < reader->end && *(const uint8_t *)reader->at < 0x80)
        return *(const uint8_t *)reader->at++;
    unsigned width;
    uint8_t last;
    return memtrack_reader_leb(reader, &width, &last);
}

static inline int64_t memtrack_reader_sleb(struct memtrack_reader *reader)
{
    unsigned width;
    uint8_t last;
    uint64_t value = memtrack_reader_leb(reader, &width, &last);
    if (width < 64 && (last & 0x40))
        value |= ~UINT64_C(0) << width;
    return (int64_t)value;
}

/* DW_EH_PE_*: the low four bits say how a pointer is stored, the next three what it is relative to. */
#define MEMTRACK_PE_ABSOLUTE 0x00
#define MEMTRACK_PE_SDATA4 0x0b
#define MEMTRACK_PE_PCREL 0x10
#define MEMTRACK_PE_DATAREL 0x30
#define MEMTRACK_PE_ALIGNED 0x50
#define MEMTRACK_PE_INDIRECT 0x80
#define MEMTRACK_PE_OMIT 0xff

/* The stored form alone: sizes of addresses (an FDE's range) have no base. */
static inline uint64_t memtrack_reader_stored(struct memtrack_reader *reader, uint8_t encoding)
{
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c: return memtrack_reader_u64(reader);
    case 0x01: return memtrack_reader_uleb(reader);
    case 0x02: return memtrack_reader_u16(reader);
    case 0x03: return memtrack_reader_u32(reader);
    case 0x09: return (uint64_t)memtrack_reader_sleb(reader);
    case 0x0a: return (uint64_t)(int64_t)memtrack_reader_i16(reader);
    case 0x0b: return (uint64_t)(int64_t)memtrack_reader_i32(reader);
    default: reader->failed = true; return 0;
    }
}

/* `data_base` is what DATAREL is relative to, 0 if that is not known here. An indirect pointer gives the
 * address of the pointer, so it is good for skipping only. A stored 0 is a null pointer in any encoding. */
static inline uint64_t memtrack_reader_encoded(struct memtrack_reader *reader, uint8_t encoding,
                                               uint64_t data_base)
{
    if (encoding == MEMTRACK_PE_ALIGNED) {
        memtrack_reader_skip(reader, -reader->at & 7);
        return memtrack_reader_u64(reader);
    }
    uint64_t here = reader->at;
    uint64_t value = memtrack_reader_stored(reader, encoding);
    if (value == 0)
        return 0;
    switch (encoding & 0x70) {
    case MEMTRACK_PE_ABSOLUTE: return value;
    case MEMTRACK_PE_PCREL: return value + here;
    case MEMTRACK_PE_DATAREL:
        if (data_base)
            return value + data_base;
        break;
    default: break;
    }
    reader->failed = true;
    return 0;
}

#endif
