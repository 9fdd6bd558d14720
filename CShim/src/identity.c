/* SPDX-License-Identifier: Apache-2.0
 *
 * The header of a new region: whose it is, and where its tables begin.
 *
 * A process that was just started asks /proc for what nothing else says, at 30 us: the first look there costs half of that.
 * A forked child is what its parent was, but for its number: the rest is copied. It may have been forked into another PID
 * namespace; then its parent has no number there.
 */
#define _GNU_SOURCE
#include "sampling.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static void write_build_id(struct memtrack_header *header)
{
    const char *base = (const char *)&__ehdr_start;
    const ElfW(Phdr) *ph = (const ElfW(Phdr) *)(const void *)(base + __ehdr_start.e_phoff);
    for (int i = 0; i < __ehdr_start.e_phnum; i++) {
        if (ph[i].p_type != PT_NOTE)
            continue;
        const char *at = base + ph[i].p_vaddr, *end = at + ph[i].p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)at;
            const char *body = at + sizeof(*note) + ((note->n_namesz + 3u) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= sizeof(header->shim_build_id)) {
                __builtin_memcpy(header->shim_build_id, body, note->n_descsz);
                header->shim_build_id_bytes = note->n_descsz;
                return;
            }
            at = body + ((note->n_descsz + 3u) & ~3u);
        }
    }
}

static uint64_t pid_namespace(void)
{
    struct stat status;
    return memtrack_sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &status, 0) == 0 ? status.st_ino : 0;
}

static void ask(struct memtrack_header *header)
{
    header->pid_namespace = pid_namespace();
    if (__builtin_strncmp(memtrack_rt.session, "/dev/shm/", 9) != 0) /* a directory that does not outlive a boot */
        memtrack_read_file("/proc/sys/kernel/random/boot_id", (char *)header->boot_id, 36);
    write_build_id(header);
    long length = memtrack_sys3(SYS_readlink, "/proc/self/exe", header->executable, sizeof(header->executable) - 1);
    header->executable[memtrack_sys_failed(length) ? 0 : length] = 0;
    __builtin_memcpy(memtrack_rt.executable, header->executable, sizeof(memtrack_rt.executable));
    header->command_line_bytes =
        (uint32_t)memtrack_config_arguments(header->command_line, sizeof(header->command_line) - 1);
}

static void inherit(struct memtrack_header *header, const struct memtrack_header *parent)
{
    header->pid_namespace = header->parent_pid == parent->pid ? parent->pid_namespace : pid_namespace();
    __builtin_memcpy(header->boot_id, parent->boot_id, sizeof(header->boot_id));
    __builtin_memcpy(header->shim_build_id, parent->shim_build_id, sizeof(header->shim_build_id));
    header->shim_build_id_bytes = parent->shim_build_id_bytes;
    __builtin_memcpy(header->executable, parent->executable, sizeof(header->executable));
    __builtin_memcpy(header->command_line, parent->command_line, sizeof(header->command_line));
    header->command_line_bytes = parent->command_line_bytes;
}

void memtrack_identity_write(struct memtrack_header *header, const struct memtrack_header *parent, uint32_t cell_base,
                             uint64_t created)
{
    header->abi_version = MEMTRACK_ABI_VERSION;
    header->header_bytes = sizeof(*header);
    header->file_bytes = memtrack_rt.region_pages * MEMTRACK_PAGE;
    header->pid = (uint32_t)memtrack_sys3(SYS_getpid, 0, 0, 0);
    header->parent_pid = (uint32_t)memtrack_sys3(SYS_getppid, 0, 0, 0);
    header->uid = (uint32_t)memtrack_sys3(SYS_geteuid, 0, 0, 0);
    header->created_boottime_ns = memtrack_clock_ns(CLOCK_BOOTTIME);
    header->created_realtime_ns = memtrack_clock_ns(CLOCK_REALTIME);
    header->created_monotonic_ns = created;
    header->parent_created_monotonic_ns = parent ? parent->created_monotonic_ns : 0;
    header->origin = parent ? MEMTRACK_ORIGIN_FORK : MEMTRACK_ORIGIN_EXEC;
    if (parent)
        inherit(header, parent);
    else
        ask(header);
    header->stack_depth = memtrack_rt.stack_depth;
    header->sample_bytes = memtrack_rt.sample_bytes;
    header->weight_shift = memtrack_rt.sample_bytes ? MEMTRACK_WEIGHT_SHIFT : 0;
    header->unwinder = memtrack_rt.unwinder;
    header->capabilities = MEMTRACK_CAP_POPULATE | (memtrack_rt.pid_check ? 0 : MEMTRACK_CAP_WIPE_ON_FORK) |
                           (memtrack_rt.allocator_unit_shift == 5 ? MEMTRACK_CAP_GLIBC_MALLOC : 0);
    header->node_next = 1;
    header->cell_base = header->cell_next = cell_base;
    header->module_next = 1;
    header->bank_next = 1;
    header->flush_bytes = MEMTRACK_FLUSH_BYTES;
    header->livemap_chunk_shift = 26;
    header->livemap_unit = 1u << memtrack_rt.allocator_unit_shift;
    header->used_pages = MEMTRACK_FIRST_FREE_PAGE;
    header->own_reserved_bytes = header->file_bytes;
}
