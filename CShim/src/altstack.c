/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers on small alternate signal stacks.
 *
 * A walk takes about 2 KB of stack. An alternate stack of MINSIGSTKSZ has hardly any left once the kernel has put the registers
 * on it, and a handler that allocates there is right to expect that it suffices. So where little is left, no stack is taken: the
 * allocation counts under its size class, as those do that have no bank.
 *
 * The kernel knows how much there is, and is asked on the long way alone: of a frame that is not on the thread's own
 * stack; and of any, where the program has a small alternate stack, which may be a part of the thread's own. What it is to
 * forget while a handler runs on it (SS_AUTODISARM) is remembered here.
 *
 * A region takes more room still: a forked child whose first allocation comes in such a handler (one for crashes, say) makes
 * none yet.
 */
#define _GNU_SOURCE
#include "next.h"
#include "stacks.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_SMALL_STACK ((size_t)16 << 10) /* of which the kernel may take a quarter */
#define MEMTRACK_WALK_ROOM ((uintptr_t)4 << 10)
#define MEMTRACK_REGION_ROOM ((uintptr_t)4608) /* 3,824 bytes where the directory is tidied up, too */

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static int (*next_sigaltstack)(const stack_t *, stack_t *);
static uint32_t has_small_stack;
static __thread uintptr_t forgotten; /* where this thread's stack that the kernel forgets begins */

void memtrack_resolve_sigaltstack(void)
{
    *(void **)&next_sigaltstack = dlsym(RTLD_NEXT, "sigaltstack");
}

MEMTRACK_EXPORT int sigaltstack(const stack_t *restrict fresh, stack_t *restrict old)
{
    memtrack_resolve();
    int result = next_sigaltstack ? next_sigaltstack(fresh, old) : (errno = ENOSYS, -1);
    if (result == 0 && fresh && !(fresh->ss_flags & SS_DISABLE) && fresh->ss_size < MEMTRACK_SMALL_STACK)
        MEMTRACK_STORE(&has_small_stack, 1u);
    if (result == 0 && fresh && !(fresh->ss_flags & SS_DISABLE) && fresh->ss_flags & (int)SS_AUTODISARM)
        forgotten = (uintptr_t)fresh->ss_sp;
    return result;
}

static bool is_signal_stack_below(uintptr_t room)
{
    stack_t now;
    if (forgotten && (uintptr_t)&now - forgotten < room)
        return true;
    return memtrack_sys3(SYS_sigaltstack, NULL, &now, 0) == 0 && now.ss_flags & SS_ONSTACK &&
           (uintptr_t)&now - (uintptr_t)now.ss_sp < room;
}

bool memtrack_has_room_for_region(void)
{
    return !is_signal_stack_below(MEMTRACK_REGION_ROOM);
}

bool memtrack_is_cramped(struct memtrack_thread *thread, const uintptr_t *frame)
{
    if (MEMTRACK_LIKELY(!MEMTRACK_LOAD(&has_small_stack) && memtrack_on_own_stack(thread, (uintptr_t)frame)))
        return false;
    return is_signal_stack_below(MEMTRACK_WALK_ROOM);
}
