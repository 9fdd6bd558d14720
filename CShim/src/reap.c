/* SPDX-License-Identifier: Apache-2.0
 *
 * Without a launcher nobody removes the regions of ended processes, and a build has thousands. So a process that finds
 * more than MEMTRACK_MOST_FILES in the common directory keeps the newest MEMTRACK_KEPT_FILES and those of the living.
 *
 * A region is removed only where its process is known to have ended: it was of this boot and of this PID namespace, and
 * there is no process of its number. Two processes may do this at once; to find a file gone is no error.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <fcntl.h>
#include <errno.h>
#include <sys/stat.h>

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
};

/* Is it of this PID namespace and this boot? Its own header says; a file without one is a trace, or being made. */
static bool is_of_here(long directory, const char *name)
{
    uint64_t namespace = 0;
    char boot[sizeof(((struct memtrack_header *)0)->boot_id)];
    long fd = memtrack_sys4(SYS_openat, directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (memtrack_sys_failed(fd))
        return false;
    long got = memtrack_sys4(SYS_pread64, fd, &namespace, 8, offsetof(struct memtrack_header, pid_namespace));
    bool is_here = got == 0;
    if (got == 8 && memtrack_sys4(SYS_pread64, fd, boot, sizeof(boot), offsetof(struct memtrack_header, boot_id)) ==
                        (long)sizeof(boot)) {
        struct stat status;
        char now[sizeof(boot)] = "";
        is_here = memtrack_sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/ns/pid", &status, 0) == 0 &&
                  status.st_ino == namespace && memtrack_read_file("/proc/sys/kernel/random/boot_id", now, 36) == 36 &&
                  __builtin_memcmp(now, boot, 36) == 0;
    }
    memtrack_sys3(SYS_close, fd, 0, 0);
    return is_here;
}

static void remove_dead(const struct file *file, void *context)
{
    const struct removal *removal = context;
    if (file->created < removal->before && memtrack_sys3(SYS_kill, file->pid, 0, 0) == -ESRCH &&
        is_of_here(removal->directory, file->name))
        memtrack_sys3(SYS_unlinkat, removal->directory, file->name, 0);
}

void memtrack_reap(long directory)
{
    struct newest newest = {0};
    each(directory, note, &newest);
    if (newest.files <= MEMTRACK_MOST_FILES)
        return;
    struct removal removal = {directory, newest.time[newest.count - 1]};
    each(directory, remove_dead, &removal);
}
