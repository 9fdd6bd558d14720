/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_fuzz.c - damaged .eh_frame data must not be read past its end, loop, or trip a sanitizer.
 *
 * usage: unwind_fuzz FILE...
 *
 * MODEL. The .eh_frame_hdr and .eh_frame of a file are copied to a block of exactly their size, which is also
 * the object's extent, so that AddressSanitizer sees a read outside. Each round damages 1 to 8 bytes, mostly
 * in one record, sometimes in the header or the table, decodes rules and steps cursors at pcs near the
 * damage, and mends it. Every 64th round works on a truncated copy. The stack that cursors walk is made of
 * noise.
 */
#include <stdlib.h>

#include "unwind_cfi.h"
#include "unwind_image.h"
#include "unwind_test.h"

#define ROUNDS 200000u /* for each file */

static struct memtrack_object current;
static unsigned long decodes, steps, kinds[MEMTRACK_RULE_FULL + 1], ends[MEMTRACK_STEP_FAILED + 1];

/* In place of unwind_object.c. */
bool memtrack_object_find(uintptr_t pc, struct memtrack_object *out)
{
    (void)pc;
    *out = current;
    return true;
}

static bool read_noise(void *context, uint64_t address, uint64_t *value)
{
    (void)context;
    *value = mix(address);
    return *value % 16 != 0;
}

static void try_pc(uintptr_t pc, uint64_t *random)
{
    struct memtrack_rule rule;
    memtrack_rule_decode(&current, pc, &rule);
    decodes++;
    if (!check(rule.kind <= MEMTRACK_RULE_FULL && rule.flags < 8 && rule.module_index == 0, "a bad rule"))
        return;
    kinds[rule.kind]++;
    struct memtrack_cursor cursor = {.known = 0x1ffff, .entry = 0x1ffff, .exact_pc = true};
    for (int i = 0; i < 16; i++)
        cursor.reg[i] = random_next(random);
    cursor.reg[16] = pc;
    struct memtrack_cursor before = cursor;
    enum memtrack_step step = memtrack_cursor_step(&cursor, read_noise, NULL);
    steps++;
    if (!check(step <= MEMTRACK_STEP_FAILED, "a bad step"))
        return;
    ends[step]++;
    bool moved = cursor.reg[16] != before.reg[16] || cursor.reg[7] != before.reg[7];
    check(moved == (step == MEMTRACK_STEP_OK), "step %d, moved %d", step, moved);
}

/* Length of the file's header and section together, by walking the records of the undamaged image. */
static size_t extent(const struct image *image)
{
    const uint8_t *hdr = image->object.eh_frame_hdr;
    int32_t distance;
    memcpy(&distance, hdr + 4, sizeof distance);
    const uint8_t *record = hdr + 4 + distance;
    uint32_t bytes;
    while (memcpy(&bytes, record, sizeof bytes), bytes != 0)
        record += bytes + 4;
    return (size_t)(record + 4 - hdr);
}

static void fuzz_file(const char *path)
{
    struct image image;
    const struct image_entry *table = NULL;
    if (!check(image_map(path, &image), "%s: cannot be read", path))
        return;
    uint32_t count = image_table(&image, &table);
    size_t size = extent(&image);
    const uint8_t *original = image.object.eh_frame_hdr;
    uint8_t *copy = malloc(size);
    memcpy(copy, original, size);
    uint64_t random = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t which = (uint32_t)(random_next(&random) % count);
        size_t record = (size_t)table[which].fde;
        size_t used = size;
        uint8_t *block = copy;
        if (round % 64 == 0) {
            used = round % 128 ? 1 + random_next(&random) % size
                               : record + random_next(&random) % 64;
            used = used > size ? size : used;
            block = malloc(used);
            memcpy(block, original, used);
        }
        size_t damaged[8];
        unsigned damages = 1 + (unsigned)(random_next(&random) % 8);
        for (unsigned i = 0; i < damages; i++) {
            uint64_t choice = random_next(&random) % 32, place = random_next(&random);
            damaged[i] = choice == 0   ? place % 16
                         : choice == 1 ? 12 + which * 8 + place % 8
                         : choice < 8  ? 12 + count * 8 + place % 48 /* the first CIE, usually */
                                       : record + place % 48;
            damaged[i] %= used;
            uint64_t value = random_next(&random);
            block[damaged[i]] = value % 4 == 0 ? 0xff : (uint8_t)(value >> 8);
        }
        memtrack_cfi_generation++;
        current = (struct memtrack_object){block, (uintptr_t)block, (uintptr_t)block + used, NULL};
        uintptr_t code = (uintptr_t)block + (uintptr_t)(intptr_t)table[which].code;
        try_pc(code, &random);
        try_pc(code + random_next(&random) % 64, &random);
        try_pc(code + random_next(&random) % 4096, &random);
        for (unsigned i = 0; i < damages && block == copy; i++)
            copy[damaged[i]] = original[damaged[i]];
        if (block != copy)
            free(block);
    }
    check(memcmp(copy, original, size) == 0, "%s: damaged for good", path);
    free(copy);
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++)
        fuzz_file(arguments[i]);
    printf("  %lu decodes: none %lu, rsp %lu, rbp %lu, *rbp %lu, end %lu, full %lu\n", decodes, kinds[0],
           kinds[1], kinds[2], kinds[3], kinds[4], kinds[5]);
    printf("  %lu steps: ok %lu, end %lu, no CFI %lu, failed %lu\n", steps, ends[0], ends[1], ends[2],
           ends[3]);
    return tally_end("unwind_fuzz");
}
