/* SPDX-License-Identifier: Apache-2.0
 *
 * The last census: a program that ends of itself waits until its objects have been looked at, for they end with it.
 *
 * A launcher that is asked for types has a FIFO `census` in the session's directory. Without one that listens at this moment
 * nothing is waited for. The wait is bounded twice: for the reader to begin, and for it to be done. The words are in
 * memtrack/region.h (enum memtrack_census); the reader writes them into the file.
 */
#include "runtime.h"

#include <fcntl.h>

#define MEMTRACK_CENSUS_BEGINS UINT64_C(1000000000)  /* nanoseconds */
#define MEMTRACK_CENSUS_ENDS UINT64_C(10000000000)
#define MEMTRACK_CENSUS_NAP 200000L

static bool tell_reader(uint64_t created)
{
    static const char name[] = "/census";
    char path[sizeof(memtrack_rt.session) + sizeof(name)];
    size_t length = 0;
    while (length < sizeof(memtrack_rt.session) - 1 && memtrack_rt.session[length]) {
        path[length] = memtrack_rt.session[length];
        length++;
    }
    __builtin_memcpy(path + length, name, sizeof(name));
    long fifo = memtrack_sys3(SYS_open, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0);
    if (memtrack_sys_failed(fifo))
        return false;
    bool is_told = memtrack_sys3(SYS_write, fifo, &created, sizeof(created)) == sizeof(created);
    memtrack_sys3(SYS_close, fifo, 0, 0);
    return is_told;
}

void memtrack_last_census(void)
{
    struct memtrack_header *region = memtrack_rt.region;
    if (memtrack_rt.stopped || memtrack_rt.is_bare || !memtrack_rt.session[0] || !region ||
        (uint32_t)memtrack_sys3(SYS_getpid, 0, 0, 0) != region->pid ||
        MEMTRACK_LOAD(&region->census) != MEMTRACK_CENSUS_NONE)
        return;
    MEMTRACK_STORE(&region->census, (uint32_t)MEMTRACK_CENSUS_WAITING);
    if (!tell_reader(region->created_monotonic_ns)) {
        MEMTRACK_STORE(&region->census, (uint32_t)MEMTRACK_CENSUS_NONE);
        return;
    }
    uint64_t start = memtrack_clock_ns(CLOCK_MONOTONIC);
    for (;;) {
        uint32_t state = MEMTRACK_LOAD_ACQUIRE(&region->census);
        uint64_t waited = memtrack_clock_ns(CLOCK_MONOTONIC) - start;
        struct timespec nap = {0, MEMTRACK_CENSUS_NAP};
        if (state == MEMTRACK_CENSUS_DONE ||
            waited > (state == MEMTRACK_CENSUS_BEGUN ? MEMTRACK_CENSUS_ENDS : MEMTRACK_CENSUS_BEGINS))
            return;
        if (memtrack_sys3(SYS_nanosleep, &nap, 0, 0) == -38) /* forbidden: then there is no waiting */
            return;
    }
}
