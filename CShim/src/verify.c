/* SPDX-License-Identifier: Apache-2.0
 *
 * libunwind as oracle (MEMTRACK_VERIFY_STACKS=1) and as the portable fallback (MEMTRACK_UNWINDER=libunwind).
 *
 * It is opened by the constructor, before main, with RTLD_LOCAL: its exported _Unwind_* and backtrace must not
 * get ahead of libgcc's and glibc's. It takes locks and may allocate; both are accepted in these two modes, and
 * in no other is it loaded.
 *
 * To see whether memory can be read it writes it to a pipe that it has opened, and opens another one where that fails. A
 * program that closes descriptors it does not know may have a file of its own there by then, which would be written to, or
 * closed: so the pipe is looked at before each walk, and where it is another one libunwind is not called again.
 */
#define _GNU_SOURCE
#include "stacks.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MEMTRACK_OWN_FRAMES 16u /* at most so many frames of the shim lie below the hook's caller */

#define MEMTRACK_PIPES 4u           /* ends, at most */
#define MEMTRACK_DESCRIPTORS 256    /* looked at for them */

typedef int memtrack_backtrace_function(void **, int);

static memtrack_backtrace_function *backtrace_function; /* NULL: not to be called (any more) */
static struct {
    int descriptor;
    uint64_t device, inode;
} pipes[MEMTRACK_PIPES];
static uint32_t pipe_count;

static bool is_open(int descriptor)
{
    return !memtrack_sys_failed(memtrack_sys3(SYS_fcntl, descriptor, F_GETFD, 0));
}

static bool identify(int descriptor, struct stat *status)
{
    return !memtrack_sys_failed(memtrack_sys3(SYS_fstat, descriptor, status, 0));
}

/* The first walk opens them. */
static void warm_up(void)
{
    bool was_open[MEMTRACK_DESCRIPTORS];
    for (int i = 0; i < MEMTRACK_DESCRIPTORS; i++)
        was_open[i] = is_open(i);
    void *address[8];
    backtrace_function(address, 8); /* its own set-up allocates: now rather than inside a hook */
    for (int i = 0; i < MEMTRACK_DESCRIPTORS && pipe_count < MEMTRACK_PIPES; i++) {
        struct stat status;
        if (was_open[i] || !is_open(i) || !identify(i, &status))
            continue;
        pipes[pipe_count].descriptor = i;
        pipes[pipe_count].device = status.st_dev;
        pipes[pipe_count++].inode = status.st_ino;
    }
}

static bool has_pipes(void)
{
    for (uint32_t i = 0; i < pipe_count; i++) {
        struct stat status;
        if (!identify(pipes[i].descriptor, &status) || status.st_dev != pipes[i].device ||
            status.st_ino != pipes[i].inode)
            return false;
    }
    return true;
}

void memtrack_libunwind_load(void)
{
    void *library = dlopen("libunwind.so.8", RTLD_LAZY | RTLD_LOCAL);
    if (library)
        *(void **)&backtrace_function = dlsym(library, "unw_backtrace");
    if (!backtrace_function)
        return;
    warm_up();
    if (memtrack_rt.region)
        memtrack_rt.region->capabilities |= MEMTRACK_CAP_LIBUNWIND;
}

uint32_t memtrack_libunwind_walk(const uintptr_t *frame, uint64_t *address, uint32_t most)
{
    void *all[MEMTRACK_MAX_DEPTH + MEMTRACK_OWN_FRAMES];
    memtrack_backtrace_function *function = MEMTRACK_LOAD(&backtrace_function); /* another thread may end it */
    if (!function)
        return 0;
    if (!has_pipes()) {
        memtrack_backtrace_function *none = NULL;
        MEMTRACK_STORE(&backtrace_function, none);
        return 0;
    }
    int count = function(all, (int)(most + MEMTRACK_OWN_FRAMES));
    for (int i = 0; i < count && i < (int)MEMTRACK_OWN_FRAMES; i++) {
        if ((uintptr_t)all[i] != frame[1])
            continue;
        uint32_t taken = 0;
        while (i < count && taken < most)
            address[taken++] = (uint64_t)(uintptr_t)all[i++];
        return taken;
    }
    return 0;
}

static const struct memtrack_node *node_at(uint32_t id)
{
    uint32_t page = memtrack_directory(memtrack_rt.region, id / MEMTRACK_NODES_PER_CHUNK)->nodes;
    return (const struct memtrack_node *)memtrack_region_at(page) + id % MEMTRACK_NODES_PER_CHUNK;
}

/* Compares an interned stack, frame by frame and in length, with what libunwind says of this very moment. A stack that
 * went through code without unwind information is compared up to there: beyond it each unwinder guesses. */
MEMTRACK_COLD void memtrack_verify(const uintptr_t *frame, uint32_t stack)
{
    uint64_t theirs[MEMTRACK_MAX_DEPTH];
    uint32_t depth = memtrack_rt.stack_depth;
    uint32_t count = memtrack_libunwind_walk(frame, theirs, depth);
    if (!count) {
        MEMTRACK_HEALTH(verify_skipped, 1);
        return;
    }
    MEMTRACK_HEALTH(verified_stacks, 1);
    uint32_t ours = 0;
    for (; stack; ours++) {
        const struct memtrack_node *node = node_at(stack);
        if (ours >= count || node->address != theirs[ours]) {
            MEMTRACK_HEALTH(verify_mismatches, 1);
            return;
        }
        if (node->module_index == MEMTRACK_MODULE_NONE || node->flags & MEMTRACK_NODE_INCOMPLETE) {
            MEMTRACK_HEALTH(verify_skipped, 1);
            return;
        }
        stack = node->parent;
    }
    if (ours != count)
        MEMTRACK_HEALTH(verify_mismatches, 1);
}
