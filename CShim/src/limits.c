/* SPDX-License-Identifier: Apache-2.0
 *
 * Limits that the program sets on its own memory.
 *
 * What we have reserved, 300 MB of address space most of which is never touched, counts as the program's: one that allows itself 200
 * (vsftpd for each session, `ulimit -v` in a script) would be over that at once. So a limit on address space or private memory
 * is passed on with our part on top, and the program is told what it has set. In front of an exec the soft limit becomes
 * what the program means: the next one starts within it, and we with it (private.c).
 *
 * Not seen: limits set by system call instructions of the program's own, or from outside.
 */
#define _GNU_SOURCE
#include "limits.h"

#include "next.h"
#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_LIMIT_ROOM (UINT64_C(16) << 20) /* and an eighth of the limit: what the live map may grow by */

/* Of the two resources. Where the kernel has another limit than `given`, somebody else has set that since. */
static struct limit {
    bool is_set;
    struct rlimit asked, given;
} limits[2];

static int (*next_prlimit)(pid_t, int, const struct rlimit *, struct rlimit *);

void memtrack_resolve_limits(void)
{
    *(void **)&next_prlimit = dlsym(RTLD_NEXT, "prlimit64"); /* the same as prlimit on this machine */
}

static int pass_on(pid_t pid, int resource, const struct rlimit *fresh, struct rlimit *old)
{
    if (next_prlimit)
        return next_prlimit(pid, resource, fresh, old);
    long result = memtrack_sys4(SYS_prlimit64, pid, resource, fresh, old);
    if (memtrack_sys_failed(result))
        errno = (int)-result;
    return memtrack_sys_failed(result) ? -1 : 0;
}

static struct limit *limit_of(int resource)
{
    return resource == RLIMIT_AS ? &limits[0] : resource == RLIMIT_DATA ? &limits[1] : NULL;
}

static bool is_equal(const struct rlimit *a, const struct rlimit *b)
{
    return a->rlim_cur == b->rlim_cur && a->rlim_max == b->rlim_max;
}

static uint64_t with_ours(uint64_t asked, uint64_t reserved)
{
    uint64_t room = asked / 8 + reserved + MEMTRACK_LIMIT_ROOM;
    return asked == RLIM_INFINITY || !reserved || asked > RLIM_INFINITY - room ? asked : asked + room;
}

static int get(int resource, struct rlimit *found)
{
    const struct limit *limit = limit_of(resource);
    int result = pass_on(0, resource, NULL, found);
    if (result == 0 && limit && limit->is_set && is_equal(found, &limit->given))
        *found = limit->asked;
    return result;
}

static int set(int resource, const struct rlimit *fresh)
{
    struct limit *limit = limit_of(resource);
    struct rlimit now, asked, given;
    if (!limit || get(resource, &asked) != 0 || pass_on(0, resource, NULL, &now) != 0)
        return pass_on(0, resource, fresh, NULL);
    uint64_t reserved = memtrack_private_reserved() + (resource == RLIMIT_AS ? memtrack_rt.region_pages * MEMTRACK_PAGE : 0);
    given.rlim_cur = with_ours(fresh->rlim_cur, reserved);
    given.rlim_max = with_ours(fresh->rlim_max, reserved);
    if (fresh->rlim_max <= asked.rlim_max && given.rlim_max > now.rlim_max) /* ours is no reason to ask for more than is allowed */
        given.rlim_max = now.rlim_max;
    if (fresh->rlim_cur <= fresh->rlim_max && given.rlim_cur > given.rlim_max)
        given.rlim_cur = given.rlim_max;
    asked = *fresh;
    if (pass_on(0, resource, &given, NULL) != 0)
        return -1;
    *limit = (struct limit){true, asked, given};
    return 0;
}

/* Two of the program's own pointers: the kernel says where they lead nowhere. */
static int both(int resource, const struct rlimit *fresh, struct rlimit *old)
{
    struct rlimit before, after;
    if (!limit_of(resource) || (fresh && !memtrack_readable((uintptr_t)fresh)) || (old && !memtrack_readable((uintptr_t)old)))
        return pass_on(0, resource, fresh, old);
    if (fresh)
        after = *fresh;
    if (old && get(resource, &before) != 0)
        return -1;
    if (fresh && set(resource, &after) != 0)
        return -1;
    if (old)
        *old = before;
    return 0;
}

MEMTRACK_EXPORT int prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *fresh, struct rlimit *old)
{
    memtrack_resolve();
    bool is_own = pid == 0 || pid == memtrack_sys3(SYS_getpid, 0, 0, 0);
    return is_own ? both((int)resource, fresh, old) : pass_on(pid, (int)resource, fresh, old);
}

MEMTRACK_EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *fresh)
{
    memtrack_resolve();
    return both((int)resource, fresh, NULL);
}

MEMTRACK_EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *found)
{
    memtrack_resolve();
    return both((int)resource, NULL, found);
}

/* The structure is the same on this machine. */
MEMTRACK_EXPORT int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *fresh, struct rlimit64 *old)
{
    return prlimit(pid, resource, (const struct rlimit *)(const void *)fresh, (struct rlimit *)(void *)old);
}

MEMTRACK_EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *fresh)
{
    return setrlimit(resource, (const struct rlimit *)(const void *)fresh);
}

MEMTRACK_EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *found)
{
    return getrlimit(resource, (struct rlimit *)(void *)found);
}

void memtrack_limits_exec(bool begins)
{
    static const int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    for (int i = 0; i < 2; i++) {
        struct rlimit now, wanted = limits[i].given, expected = limits[i].given;
        if (!limits[i].is_set)
            continue;
        struct rlimit *soft = begins ? &wanted : &expected;
        soft->rlim_cur = limits[i].asked.rlim_cur;
        if (pass_on(0, resources[i], NULL, &now) == 0 && is_equal(&now, &expected))
            pass_on(0, resources[i], &wanted, NULL);
    }
}
