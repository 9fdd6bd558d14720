/* SPDX-License-Identifier: Apache-2.0
 *
 * What fork makes of the shim: how a child knows itself, how it starts anew, and what its parent has to see to.
 *
 * A child makes its own region at its first allocation. It inherits the live map and the cached rules, which hold for it
 * too, and the modules, copied so that the rules' indexes stay good. Its stacks, cells and banks are its own.
 */
#define _GNU_SOURCE
#include "livemap.h"
#include "next.h"

#include <dlfcn.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))

/* Where the kernel has no MADV_WIPEONFORK the pid tells that this is not the process that booted, and a page that
 * forked children do not get tells them from a vfork child, which shares all memory with its parent. */
#define MEMTRACK_COOKIE UINT64_C(0x6d656d747261636b)
static uint64_t *cookie;

bool memtrack_fork_prepare(void)
{
    cookie = memtrack_map_private(MEMTRACK_PAGE);
    if (!cookie || memtrack_sys3(SYS_madvise, cookie, MEMTRACK_PAGE, MADV_DONTFORK) != 0)
        return false;
    *cookie = MEMTRACK_COOKIE;
    return true;
}

static bool has_cookie(void)
{
    return cookie && memtrack_readable((uintptr_t)cookie) && *(volatile uint64_t *)cookie == MEMTRACK_COOKIE;
}

bool memtrack_is_forked_child(void)
{
    if (MEMTRACK_LOAD(&memtrack_rt.page->epoch) == 0)
        return true;
    if (!memtrack_rt.pid_check)
        return false;
    long pid = memtrack_sys3(SYS_getpid, 0, 0, 0);
    return pid > 0 && (uint32_t)pid != memtrack_rt.pid && !has_cookie();
}

static bool has_changed_modules;

/* dlclose in a child that has not allocated yet: it is remembered until there is a region to say it in. */
void memtrack_fork_changed_modules(void)
{
    has_changed_modules = true;
}

/* A hook that the fork interrupted goes on with pointers into the parent's region, which is not ours to write: private
 * pages take its place. */
static void replace(struct memtrack_header *parent, uint64_t pages)
{
    memtrack_sys6(SYS_mmap, (long)parent, (long)(pages * MEMTRACK_PAGE), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* The short way with sampling is never BUSY: nothing tells whether it goes on here. So the pages stay, until the next
 * generation. */
static void leave_to_sampling(struct memtrack_header *parent, uint64_t pages)
{
    static struct memtrack_mapping last;
    if (last.start)
        memtrack_sys3(SYS_munmap, last.start, last.bytes, 0);
    last = (struct memtrack_mapping){(uintptr_t)parent, pages * MEMTRACK_PAGE};
    replace(parent, pages);
}

/* A region with nothing in it. The live map is private memory and right already. */
bool memtrack_fork_repair(void)
{
    struct memtrack_page *page = memtrack_rt.page;
    uint32_t claimed = 0;
    if (!__atomic_compare_exchange_n(&page->child_claim, &claimed, 1u, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false; /* a signal handler that interrupts the repair, or a raw clone's sibling: not counted */
    struct memtrack_header *parent = memtrack_rt.region;
    if (!parent) { /* forked by a signal handler in the middle of its parent's own repair */
        memtrack_rt.stopped = 1;
        return false;
    }
    uint64_t parent_pages = memtrack_rt.region_pages;
    bool interrupted = memtrack_self != &memtrack_no_thread && memtrack_is_busy(memtrack_self);
    memtrack_self = &memtrack_no_thread;
    memtrack_threads_after_fork(MEMTRACK_LOAD_ACQUIRE(&parent->bank_next), interrupted);
    memtrack_intern_after_fork();
    memtrack_private_after_fork(interrupted);
    if (!interrupted)
        memtrack_cfi_after_fork();
    if (!memtrack_rt.follow_children || (memtrack_rt.pid_check && !memtrack_fork_prepare()) ||
        !memtrack_region_create(parent, parent->cell_next)) {
        memtrack_rt.stopped = 1;
        if (memtrack_rt.follow_children)
            MEMTRACK_ADD(&parent->health.children_lost, 1);
        memtrack_rt.region = parent; /* stays mapped; `stopped` keeps us from writing to it */
        if (interrupted || memtrack_rt.is_sampling)
            replace(parent, parent_pages);
        return false;
    }
    memtrack_rt.pid = memtrack_rt.region->pid;
    memtrack_modules_after_fork(parent);
    if (has_changed_modules) {
        memtrack_rt.region->module_generation++;
        MEMTRACK_ADD(&memtrack_cfi_generation, 1);
        has_changed_modules = false;
    }
    memtrack_livemap_publish(memtrack_rt.region);
    MEMTRACK_HEALTH(uncounted_allocations, memtrack_rt.early_allocations);
    MEMTRACK_HEALTH(uncounted_bytes, memtrack_rt.early_bytes);
    memtrack_rt.early_allocations = memtrack_rt.early_bytes = 0;
    if (interrupted)
        replace(parent, parent_pages);
    else if (memtrack_rt.is_sampling)
        leave_to_sampling(parent, parent_pages);
    else
        memtrack_sys3(SYS_munmap, parent, parent_pages * MEMTRACK_PAGE, 0);
    MEMTRACK_STORE(&page->child_claim, 0u);
    MEMTRACK_STORE_RELEASE(&page->epoch, (uint64_t)MEMTRACK_EPOCH_FIRST);
    return true;
}

/* Forks are interposed for one case: a signal handler that forks while a hook runs. The hook goes on in the child, and
 * needs there what a child otherwise starts without. Who forks by an instruction of his own in that place is left with zeros. */
static pid_t (*next_fork)(void);
static pid_t (*next__Fork)(void);

void memtrack_resolve_fork(void)
{
    *(void **)&next_fork = dlsym(RTLD_NEXT, "fork");
    *(void **)&next__Fork = dlsym(RTLD_NEXT, "_Fork");
}

/* The child does not wait for its first allocation: the hook would count in its parent's region. */
static void settle(long child)
{
    if (child != 0)
        memtrack_private_keep_on_fork(false);
    else if (!memtrack_rt.stopped && memtrack_is_forked_child())
        memtrack_fork_repair();
}

static pid_t forked(pid_t (*next)(void))
{
    if (MEMTRACK_UNLIKELY(!next)) {
        memtrack_resolve();
        next = next_fork;
    }
    if (MEMTRACK_UNLIKELY(!next)) {
        errno = ENOSYS;
        return -1;
    }
    bool is_in_hook = memtrack_is_busy(memtrack_self);
    if (MEMTRACK_UNLIKELY(is_in_hook))
        memtrack_private_keep_on_fork(true);
    pid_t child = next();
    if (MEMTRACK_UNLIKELY(is_in_hook))
        settle(child);
    return child;
}

MEMTRACK_EXPORT pid_t fork(void)
{
    return forked(next_fork);
}

pid_t _Fork(void);
MEMTRACK_EXPORT pid_t _Fork(void)
{
    return forked(next__Fork);
}

extern long (*memtrack_next_syscall)(long, long, long, long, long, long, long) __attribute__((visibility("hidden")));
long memtrack_forking_syscall(long number, long a, long b, long c, long d, long e, long f)
    __attribute__((visibility("hidden")));

/* syscall(2) jumps here for those that fork, see seccomp.c. */
long memtrack_forking_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    bool is_in_hook = memtrack_is_busy(memtrack_self);
    if (is_in_hook)
        memtrack_private_keep_on_fork(true);
    long child = memtrack_next_syscall(number, a, b, c, d, e, f);
    if (is_in_hook)
        settle(child);
    return child;
}
