/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_image.h - maps an ELF file as the loader would lay it out, read-only and without running it, so
 * that the call frame information of any file can be tested. An image is never unmapped.
 */
#ifndef MEMTRACK_UNWIND_IMAGE_H
#define MEMTRACK_UNWIND_IMAGE_H

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unwind.h"

struct image {
    struct memtrack_object object;
    uint64_t bias;     /* address here minus address in the file */
    uint64_t hdr_size; /* of .eh_frame_hdr */
};

static bool image_map(const char *path, struct image *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    Elf64_Ehdr header;
    Elf64_Phdr segments[64];
    bool good = pread(fd, &header, sizeof header, 0) == sizeof header
             && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == EM_X86_64
             && header.e_phnum <= 64
             && pread(fd, segments, header.e_phnum * sizeof *segments, (off_t)header.e_phoff)
                    == (ssize_t)(header.e_phnum * sizeof *segments);
    uint64_t low = UINT64_MAX, high = 0;
    const Elf64_Phdr *hdr = NULL;
    for (unsigned i = 0; good && i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type == PT_GNU_EH_FRAME)
            hdr = segment;
        if (segment->p_type != PT_LOAD)
            continue;
        low = segment->p_vaddr < low ? segment->p_vaddr : low;
        high = segment->p_vaddr + segment->p_memsz > high ? segment->p_vaddr + segment->p_memsz : high;
    }
    if (!good || !hdr || low > high) {
        close(fd);
        return false;
    }
    low &= ~UINT64_C(4095);
    high = (high + 4095) & ~UINT64_C(4095);
    char *base = mmap(NULL, high - low, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned i = 0; base != MAP_FAILED && i < header.e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type != PT_LOAD || segment->p_filesz == 0)
            continue;
        uint64_t skew = segment->p_vaddr & 4095;
        if (mmap(base + (segment->p_vaddr - skew - low), segment->p_filesz + skew, PROT_READ,
                 MAP_PRIVATE | MAP_FIXED, fd, (off_t)(segment->p_offset - skew)) == MAP_FAILED)
            base = MAP_FAILED;
    }
    close(fd);
    if (base == MAP_FAILED)
        return false;
    out->bias = (uint64_t)base - low;
    out->object.start = (uintptr_t)base;
    out->object.end = (uintptr_t)base + (high - low);
    out->object.eh_frame_hdr = base + (hdr->p_vaddr - low);
    out->object.link_map = NULL;
    out->hdr_size = hdr->p_memsz;
    return true;
}

/* Entries of the header's search table, which every linker writes in this form. */
struct image_entry {
    int32_t code, fde;
};

static uint32_t image_table(const struct image *image, const struct image_entry **entries)
{
    const uint8_t *hdr = image->object.eh_frame_hdr;
    uint32_t count;
    if (hdr[0] != 1 || hdr[2] != 0x03 || hdr[3] != 0x3b)
        return 0;
    memcpy(&count, hdr + 8, sizeof count);
    *entries = (const struct image_entry *)(hdr + 12);
    return count;
}

#endif
