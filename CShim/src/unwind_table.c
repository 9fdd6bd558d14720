/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_table.c - from a pc to its FDE: .eh_frame_hdr, CIE and FDE records.
 *
 * .eh_frame_hdr (LSB core, chapter 10.6): version 1 | three encodings | pointer to .eh_frame | number of
 * entries | sorted table of (code address, FDE address). Every linker writes the table as pairs of
 * int32 relative to the header, and only that form is searched; with another one, or none, the records
 * of .eh_frame are scanned, within the bounds of the object.
 *
 * Nothing is cached and nothing outside the object is read.
 */
#include "unwind_cfi.h"

/* Header of a record: its body as a reader, which ends where the record ends. The CIE pointer that a body
 * begins with is 4 bytes in .eh_frame, also after a 64-bit length. False at the terminator or if broken. */
static bool record_open(struct memtrack_reader *section, struct memtrack_reader *body)
{
    uint64_t bytes = memtrack_reader_u32(section);
    if (bytes == 0xffffffffu)
        bytes = memtrack_reader_u64(section);
    if (bytes == 0)
        return false;
    *body = memtrack_reader_block(section, bytes);
    return !section->failed;
}

/* Augmentation: 'z' comes first and makes the rest skippable; the other letters each stand for data that
 * follows in their order. An unknown letter may change the meaning of the whole record: refused. */
static bool parse_augmentation(struct memtrack_reader *body, uintptr_t letters, struct memtrack_fde *out,
                               bool *sized)
{
    const char *letter = (const char *)letters;
    struct memtrack_reader data = {0};
    *sized = *letter == 'z';
    if (*sized) {
        data = memtrack_reader_block(body, memtrack_reader_uleb(body));
        letter++;
    }
    for (; *letter; letter++) {
        switch (*letter) {
        case 'S': out->signal = true; continue;
        case 'B': continue; /* pointer authentication key, no data */
        case 'R': out->pointer_encoding = memtrack_reader_u8(&data); break;
        case 'L': memtrack_reader_u8(&data); break;
        case 'P': {
            uint8_t encoding = memtrack_reader_u8(&data);
            if ((encoding & 0x70) == MEMTRACK_PE_ALIGNED)
                memtrack_reader_encoded(&data, MEMTRACK_PE_ALIGNED, 0);
            else if (encoding != MEMTRACK_PE_OMIT)
                memtrack_reader_stored(&data, encoding);
            break;
        }
        default: return false;
        }
        if (!*sized)
            return false;
    }
    return !data.failed;
}

static bool parse_cie(const struct memtrack_object *object, uintptr_t address, struct memtrack_fde *out,
                      bool *sized)
{
    struct memtrack_reader section = memtrack_reader_open(object, address);
    struct memtrack_reader body;
    if (!record_open(&section, &body) || memtrack_reader_u32(&body) != 0)
        return false;
    uint8_t version = memtrack_reader_u8(&body);
    if (version != 1 && version != 3 && version != 4)
        return false;

    uintptr_t letters = body.at;
    while (memtrack_reader_u8(&body) != 0)
        continue;
    if (body.failed)
        return false;
    if (version == 4) {
        uint8_t address_bytes = memtrack_reader_u8(&body);
        uint8_t segment_bytes = memtrack_reader_u8(&body);
        if (address_bytes != sizeof(void *) || segment_bytes != 0)
            return false;
    }
    out->code_factor = memtrack_reader_uleb(&body);
    out->data_factor = memtrack_reader_sleb(&body);
    uint64_t column = version == 1 ? memtrack_reader_u8(&body) : memtrack_reader_uleb(&body);
    if (column >= MEMTRACK_REGISTERS)
        return false;
    out->return_column = (uint8_t)column;
    out->pointer_encoding = MEMTRACK_PE_ABSOLUTE;
    out->signal = false;
    if (!parse_augmentation(&body, letters, out, sized) || body.failed)
        return false;
    out->cie = address;
    out->initial = body;
    return (out->pointer_encoding & MEMTRACK_PE_INDIRECT) == 0;
}

/* `body` begins at the CIE pointer of a record that is an FDE. */
static bool parse_fde(const struct memtrack_object *object, struct memtrack_reader body,
                      struct memtrack_fde *out)
{
    uintptr_t field = body.at;
    uint32_t distance = memtrack_reader_u32(&body);
    bool sized;
    if (body.failed || distance == 0 || !parse_cie(object, field - distance, out, &sized))
        return false;
    out->begin = memtrack_reader_encoded(&body, out->pointer_encoding, 0);
    out->bytes = memtrack_reader_stored(&body, out->pointer_encoding);
    if (sized)
        memtrack_reader_skip(&body, memtrack_reader_uleb(&body));
    out->program = body;
    return !body.failed;
}

static bool fde_covers(const struct memtrack_fde *fde, uintptr_t pc)
{
    return pc >= fde->begin && pc - fde->begin < fde->bytes;
}

/* Binary search: the last entry that does not begin after pc. */
static enum memtrack_lookup table_search(const struct memtrack_object *object, uintptr_t table,
                                         uint64_t count, uintptr_t pc, struct memtrack_fde *out)
{
    struct entry {
        int32_t code, fde;
    };
    uintptr_t header = (uintptr_t)object->eh_frame_hdr;
    struct memtrack_reader all = memtrack_reader_open(object, table);
    if (all.failed || count == 0 || count > (all.end - all.at) / sizeof(struct entry))
        return MEMTRACK_LOOKUP_BROKEN;

    int64_t wanted = (int64_t)(pc - header);
    struct entry entry;
    uint64_t first = 0;
    while (count > 1) {
        uint64_t half = count / 2;
        int32_t code;
        __builtin_memcpy(&code, (const void *)(table + (first + half) * sizeof entry), sizeof code);
        first = code <= wanted ? first + half : first;
        count -= half;
    }
    __builtin_memcpy(&entry, (const void *)(table + first * sizeof entry), sizeof entry);
    if (entry.code > wanted)
        return MEMTRACK_LOOKUP_ABSENT;

    struct memtrack_reader section =
        memtrack_reader_open(object, header + (uintptr_t)(intptr_t)entry.fde);
    struct memtrack_reader body;
    if (!record_open(&section, &body) || !parse_fde(object, body, out))
        return MEMTRACK_LOOKUP_BROKEN;
    return fde_covers(out, pc) ? MEMTRACK_LOOKUP_FOUND : MEMTRACK_LOOKUP_ABSENT;
}

/* Only between known bounds: the section ends with a terminator, but a broken length would step over it. */
static enum memtrack_lookup section_scan(const struct memtrack_object *object, uintptr_t eh_frame,
                                         uintptr_t pc, struct memtrack_fde *out)
{
    struct memtrack_reader section = memtrack_reader_open(object, eh_frame);
    if (section.failed || object->end == 0)
        return MEMTRACK_LOOKUP_BROKEN;
    struct memtrack_reader body;
    while (record_open(&section, &body)) {
        struct memtrack_reader peek = body;
        if (memtrack_reader_u32(&peek) == 0)
            continue; /* a CIE */
        if (parse_fde(object, body, out) && fde_covers(out, pc))
            return MEMTRACK_LOOKUP_FOUND;
    }
    return section.failed ? MEMTRACK_LOOKUP_BROKEN : MEMTRACK_LOOKUP_ABSENT;
}

enum memtrack_lookup memtrack_fde_find(const struct memtrack_object *object, uintptr_t pc,
                                       struct memtrack_fde *out)
{
    uintptr_t header = (uintptr_t)object->eh_frame_hdr;
    if (header == 0)
        return MEMTRACK_LOOKUP_ABSENT;
    struct memtrack_reader reader = memtrack_reader_open(object, header);
    uint8_t version = memtrack_reader_u8(&reader);
    uint8_t section_encoding = memtrack_reader_u8(&reader);
    uint8_t count_encoding = memtrack_reader_u8(&reader);
    uint8_t table_encoding = memtrack_reader_u8(&reader);
    if (reader.failed || version != 1 || section_encoding == MEMTRACK_PE_OMIT)
        return MEMTRACK_LOOKUP_BROKEN;
    uint64_t eh_frame = memtrack_reader_encoded(&reader, section_encoding, header);
    if (reader.failed || (section_encoding & MEMTRACK_PE_INDIRECT))
        return MEMTRACK_LOOKUP_BROKEN;

    if (count_encoding != MEMTRACK_PE_OMIT && table_encoding == (MEMTRACK_PE_DATAREL | MEMTRACK_PE_SDATA4)) {
        uint64_t count = memtrack_reader_encoded(&reader, count_encoding, header);
        if (reader.failed || (count_encoding & MEMTRACK_PE_INDIRECT))
            return MEMTRACK_LOOKUP_BROKEN;
        if (count > 0)
            return table_search(object, reader.at, count, pc, out);
    }
    return section_scan(object, (uintptr_t)eh_frame, pc, out);
}
