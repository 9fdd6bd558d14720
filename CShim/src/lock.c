/* SPDX-License-Identifier: Apache-2.0
 *
 * mlockall, for programs that must never wait for a page.
 *
 * The kernel would fault in all that is mapped: the sparse region to its full size, in somebody's /dev/shm, and the live
 * map's tables; and it would count our address space against RLIMIT_MEMLOCK. So the program's mappings are locked one by
 * one instead, as /proc/self/maps lists them, and ours are left out. MCL_FUTURE is the kernel's business; what the
 * shim maps from then on is released again before it is touched (memtrack_map_private).
 */
#define _GNU_SOURCE
#include "next.h"
#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_MLOCK_ONFAULT 1u

static int (*next_mlockall)(int);

void memtrack_resolve_mlockall(void)
{
    *(void **)&next_mlockall = dlsym(RTLD_NEXT, "mlockall");
}

/* Calls `visit` for each piece of a mapping that is not the shim's. */
static void cut_out_ours(uint64_t start, uint64_t end, void (*visit)(uint64_t, uint64_t, void *), void *context)
{
    while (start < end) {
        struct memtrack_mapping ours = memtrack_own_mapping(start, end);
        uint64_t stop = ours.bytes && ours.start < end ? ours.start : end;
        if (stop > start)
            visit(start, stop - start, context);
        start = stop == end ? end : ours.start + ours.bytes;
    }
}

/* The lines of /proc/self/maps begin with START-END in hexadecimal. False where they cannot be read. */
static bool each_mapping(void (*visit)(uint64_t, uint64_t, void *), void *context)
{
    long fd = memtrack_sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (memtrack_sys_failed(fd))
        return false;
    char text[4096];
    uint64_t number[2] = {0, 0};
    int field = 0;
    long got;
    while ((got = memtrack_sys3(SYS_read, fd, text, sizeof(text))) > 0 || got == -EINTR) {
        for (long i = 0; i < got; i++) {
            char c = text[i];
            if (c == '\n') {
                field = 0;
                number[0] = number[1] = 0;
            } else if (field == 2) {
                continue;
            } else if (c == '-') {
                field = 1;
            } else if (c == ' ') {
                field = 2;
                if (number[1] >> 47 == 0)
                    cut_out_ours(number[0], number[1], visit, context);
            } else {
                number[field] = number[field] << 4 | (uint64_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
            }
        }
    }
    memtrack_sys3(SYS_close, fd, 0, 0);
    return got == 0;
}

static void add_up(uint64_t start, uint64_t bytes, void *total)
{
    (void)start;
    *(uint64_t *)total += bytes;
}

static void lock(uint64_t start, uint64_t bytes, void *flags)
{
    if (*(uint32_t *)flags) /* what cannot be faulted in is no error to mlockall either */
        memtrack_sys3(SYS_mlock2, start, bytes, *(uint32_t *)flags);
    else
        memtrack_sys3(SYS_mlock, start, bytes, 0);
}

static bool lock_theirs(int flags)
{
    uint64_t total = 0;
    struct rlimit limit;
    if (!each_mapping(add_up, &total) || memtrack_sys4(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, &limit) != 0)
        return false;
    if (total > limit.rlim_cur) {
        /* Allowed to the privileged alone, and only the kernel knows who is. On fault, so that nothing is faulted in. */
        if (memtrack_sys3(SYS_mlockall, MCL_CURRENT | MCL_ONFAULT, 0, 0) != 0)
            return false;
        memtrack_unlock_own();
    }
    uint32_t on_fault = flags & MCL_ONFAULT ? MEMTRACK_MLOCK_ONFAULT : 0;
    return each_mapping(lock, &on_fault);
}

MEMTRACK_EXPORT int mlockall(int flags)
{
    memtrack_resolve();
    bool is_valid = flags && !(flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) && flags != MCL_ONFAULT;
    if (!memtrack_rt.region || !is_valid || !next_mlockall)
        return next_mlockall ? next_mlockall(flags) : (errno = ENOSYS, -1);
    if (flags & MCL_FUTURE)
        memtrack_rt.locks_future = 1;
    if (!(flags & MCL_CURRENT) || !lock_theirs(flags))
        return next_mlockall(flags);
    return flags & MCL_FUTURE ? next_mlockall(flags & ~MCL_CURRENT) : 0;
}
