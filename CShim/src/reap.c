/* SPDX-License-Identifier: Apache-2.0
 *
 * Without a launcher nobody removes the regions of ended processes, and a build has thousands. So a process that finds
 * more than MEMTRACK_MOST_FILES in the common directory keeps the newest MEMTRACK_KEPT_FILES and those of the living. On
 * tmpfs the size of a directory says how many files are in it: nearly all processes look no further.
 *
 * A region is removed only where its process is known to have ended: it was of this boot and of this PID namespace, and
 * there is no process of its number. Two processes may do this at once; to find a file gone is no error.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <fcntl.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define MEMTRACK_TMPFS 0x01021994
#define MEMTRACK_TMPFS_ENTRY 20 /* bytes that an entry adds to a directory's size (BOGO_DIRENT_SIZE in mm/shmem.c) */
#define MEMTRACK_MOST_FILES 128u
#define MEMTRACK_KEPT_FILES 64u

struct entry { /* struct linux_dirent64 of getdents64(2) */
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

struct file {
    const char *name;
    uint64_t pid;
    uint64_t created;
};

/* `PREFIX-PID-TIME`, as region_file.c makes them: of a region, or the trace of a process without one. */
static bool parse(const char *name, struct file *file)
{
    static const char *const prefixes[] = {"region-", "lost-"};
    for (int kind = 0; kind < 2; kind++) {
        size_t length = __builtin_strlen(prefixes[kind]);
        if (__builtin_strncmp(name, prefixes[kind], length) != 0)
            continue;
        uint64_t number[2] = {0, 0};
        int field = 0;
        for (const char *at = name + length; *at; at++) {
            if (*at == '-' && field == 0)
                field = 1;
            else if (*at >= '0' && *at <= '9')
                number[field] = number[field] * 10 + (uint64_t)(*at - '0');
            else
                return false;
        }
        *file = (struct file){name, number[0], number[1]};
        return field == 1 && number[0] > 0 && number[0] <= INT32_MAX;
    }
    return false;
}

/* Calls `visit` for each such file. */
static void each(long directory, void (*visit)(const struct file *, void *), void *context)
{
    char buffer[2048] __attribute__((aligned(8)));
    if (memtrack_sys3(SYS_lseek, directory, 0, 0) != 0)
        return;
    long got;
    while ((got = memtrack_sys3(SYS_getdents64, directory, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < got; at += ((const struct entry *)(const void *)(buffer + at))->length) {
            struct file file;
            if (parse(((const struct entry *)(const void *)(buffer + at))->name, &file))
                visit(&file, context);
        }
    }
}

struct newest {
    uint32_t files;
    uint32_t count;
    uint64_t time[MEMTRACK_KEPT_FILES]; /* falling */
};

static void note(const struct file *file, void *context)
{
    struct newest *newest = context;
    newest->files++;
    uint32_t place = newest->count;
    if (place == MEMTRACK_KEPT_FILES && file->created <= newest->time[place - 1])
        return;
    if (place == MEMTRACK_KEPT_FILES)
        place--;
    else
        newest->count++;
    for (; place > 0 && newest->time[place - 1] < file->created; place--)
        newest->time[place] = newest->time[place - 1];
    newest->time[place] = file->created;
}

struct removal {
    long directory;
    uint64_t before;
    uint64_t namespace; /* of this process */
    char boot[36];
};

/* Is it of this PID namespace and this boot? Its own header says; a file without one is a trace, or being made. */
static bool is_of_here(const struct removal *removal, const char *name)
{
    char header[offsetof(struct memtrack_header, uid)]; /* all that says whose it is */
    uint64_t namespace;
    long fd = memtrack_sys4(SYS_openat, removal->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (memtrack_sys_failed(fd))
        return false;
    long got = memtrack_sys4(SYS_pread64, fd, header, sizeof(header), 0);
    memtrack_sys3(SYS_close, fd, 0, 0);
    if (got != (long)sizeof(header))
        return got == 0;
    __builtin_memcpy(&namespace, header + offsetof(struct memtrack_header, pid_namespace), sizeof(namespace));
    const char *boot = header + offsetof(struct memtrack_header, boot_id);
    return namespace == removal->namespace &&
           (!*boot || __builtin_memcmp(boot, removal->boot, sizeof(removal->boot)) == 0);
}

static void remove_dead(const struct file *file, void *context)
{
    const struct removal *removal = context;
    if (file->created < removal->before && memtrack_sys3(SYS_kill, file->pid, 0, 0) == -ESRCH &&
        is_of_here(removal, file->name))
        memtrack_sys3(SYS_unlinkat, removal->directory, file->name, 0);
}

/* False where there can be at most MEMTRACK_MOST_FILES. */
static bool may_be_many(long directory)
{
    struct statfs system;
    struct stat status;
    return memtrack_sys3(SYS_fstatfs, directory, &system, 0) != 0 || system.f_type != MEMTRACK_TMPFS ||
           memtrack_sys4(SYS_newfstatat, directory, "", &status, AT_EMPTY_PATH) != 0 ||
           status.st_size > MEMTRACK_MOST_FILES * MEMTRACK_TMPFS_ENTRY;
}

void memtrack_reap(long directory)
{
    if (!may_be_many(directory))
        return;
    struct newest newest = {0};
    each(directory, note, &newest);
    if (newest.files <= MEMTRACK_MOST_FILES)
        return;
    struct removal removal = {.directory = directory, .before = newest.time[newest.count - 1]};
    struct stat status;
    if (memtrack_sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &status, 0) != 0 ||
        memtrack_read_file("/proc/sys/kernel/random/boot_id", removal.boot, sizeof(removal.boot)) !=
            (long)sizeof(removal.boot))
        return;
    removal.namespace = status.st_ino;
    each(directory, remove_dead, &removal);
}
