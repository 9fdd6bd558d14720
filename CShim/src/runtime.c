/* SPDX-License-Identifier: Apache-2.0
 *
 * Start of the shim, the slow way into a hook, and flushing. See runtime.h.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include "counters.h"
#include "next.h"
#include "record.h"
#include "python.h"

#include <sys/mman.h>

#define MEMTRACK_LEAST_SPACE (UINT64_C(128) << 20)

static struct memtrack_page no_page = {.epoch = 0};
struct memtrack_thread memtrack_no_thread = {.ready = ~UINT64_C(1), .epoch = ~UINT64_C(1), .python_chunk = ~UINT64_C(0)};

struct memtrack_runtime memtrack_rt = {.page = &no_page, .stopped = 1};
__thread struct memtrack_thread *memtrack_self __attribute__((tls_model("initial-exec"))) = &memtrack_no_thread;

static struct memtrack_page *make_page(void)
{
    struct memtrack_page *page = memtrack_private_start();
    if (!page) {
        page = memtrack_map_private(MEMTRACK_PAGE);
        if (page && memtrack_sys3(SYS_madvise, page, MEMTRACK_PAGE, MADV_WIPEONFORK) != 0)
            memtrack_rt.pid_check = 1;
    }
    if (!page || (memtrack_rt.pid_check && !memtrack_fork_prepare()))
        return NULL;
    page->epoch = MEMTRACK_EPOCH_FIRST;
    return page;
}

/* `--no-children` and `--follow-exec=off`: of the programs that are started only the launcher's own child is counted. */
static bool is_wanted(void)
{
    const char *text = memtrack_config_value("MEMTRACK_LAUNCHER_PID");
    if (memtrack_rt.follow_children && (memtrack_rt.follow_exec != MEMTRACK_EXEC_OFF || !text))
        return true;
    long launcher = 0;
    while (text && *text >= '0' && *text <= '9')
        launcher = launcher * 10 + (*text++ - '0');
    return launcher == memtrack_sys3(SYS_getppid, 0, 0, 0);
}

/* Called once, by the first call of any hook, when the next allocator has been found. */
void memtrack_boot(void)
{
    memtrack_configure();
    memtrack_clock_find();
    if (memtrack_rt.follow_exec == MEMTRACK_EXEC_FORCE)
        memtrack_exec_keep(memtrack_config_variables());
    if (!is_wanted())
        return;
    /* The tables take tens of megabytes of address space, most of it never touched. Where that is limited to little more,
     * the program would be short of it: it is not counted. */
    if (memtrack_private_limit() < MEMTRACK_LEAST_SPACE) {
        memtrack_region_give_up();
        return;
    }
    for (uint32_t size = 0; size < MEMTRACK_CLASS_TABLE; size++)
        memtrack_class_table[size] = (uint8_t)memtrack_size_class(size);
    memtrack_rt.special = memtrack_rt.verify_stacks || memtrack_rt.unwinder != MEMTRACK_UNWINDER_RULES;
    memtrack_rt.allocator_unit_shift = memtrack_next_is_glibc() && !memtrack_python_is_there() ? 5 : 4;
    struct memtrack_page *page = make_page();
    if (!page || !memtrack_livemap_create() || !memtrack_region_create(NULL, MEMTRACK_FIRST_CELL))
        return;
    memtrack_rt.pid = memtrack_rt.region->pid;
    memtrack_livemap_publish(memtrack_rt.region);
    memtrack_rt.never_ready = memtrack_rt.special || memtrack_rt.pid_check || memtrack_rt.sample_bytes ? MEMTRACK_EPOCH_NEVER : 0;
    if (memtrack_rt.sample_bytes && !memtrack_rt.pid_check) {
        memtrack_rt.is_sampling = 1;
        memtrack_sample_ways();
    }
    memtrack_rt.page = page;
    MEMTRACK_STORE_RELEASE(&memtrack_rt.stopped, 0u);
}

/* Everything that is not the plain case. NULL: count without a bank, or (if stopped) not at all. */
MEMTRACK_COLD struct memtrack_thread *memtrack_enter_slow(const uintptr_t *frame, uint64_t *mark)
{
    if (MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.stopped))
        return NULL;
    struct memtrack_thread *thread = memtrack_self;
    if (MEMTRACK_UNLIKELY(memtrack_is_forked_child())) {
        if (!memtrack_has_room_for_region() || !memtrack_fork_repair())
            return NULL;
        thread = &memtrack_no_thread;
    }
    if (thread == &memtrack_no_thread)
        return memtrack_thread_acquire(mark);
    bool abandoned = memtrack_is_busy(thread);
    if (abandoned && !memtrack_hook_is_abandoned(thread, frame))
        return NULL;
    if (abandoned && !thread->epoch) {
        memtrack_self = &memtrack_no_thread; /* left while it was being set up: the bank is found again by its owner's id */
        return memtrack_thread_acquire(mark);
    }
    uint64_t epoch = memtrack_epoch_for_threads();
    if (abandoned || thread->epoch != epoch) {
        /* Busy now, and in our name: a signal handler must not fill the memo that is being emptied. */
        memtrack_set_busy(thread, mark);
        memtrack_memo_clear(thread->memo);
        memtrack_walk_forget(thread);
        thread->epoch = epoch;
    }
    return thread;
}

bool memtrack_enter_is_reentrant(void)
{
    return memtrack_is_busy(memtrack_self);
}

MEMTRACK_COLD void memtrack_flush(struct memtrack_thread *thread)
{
    struct memtrack_header *region = memtrack_rt.region;
    int64_t total = MEMTRACK_ADD(&region->live_bytes, thread->delta) + thread->delta;
    thread->delta = 0;
    int64_t peak = MEMTRACK_LOAD(&region->peak_bytes);
    while (total > peak) {
        if (__atomic_compare_exchange_n(&region->peak_bytes, &peak, total, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            MEMTRACK_STORE(&region->peak_monotonic_ns, memtrack_clock_ns(CLOCK_MONOTONIC_COARSE));
            MEMTRACK_ADD(&region->peak_epoch, 1);
            peak = total;
        }
    }
    if (!thread->multi && MEMTRACK_LOAD(&region->threads_seen_shared))
        thread->multi = 1;
    thread->headroom = thread->multi ? INT64_MAX : peak - total;
}

/* After dlclose (and before it, for what other threads do meanwhile): addresses may mean other code from now on. */
void memtrack_modules_changed(void)
{
    if (MEMTRACK_LOAD(&memtrack_rt.stopped) || !memtrack_rt.region)
        return;
    if (memtrack_is_forked_child()) { /* and its region is still its parent's */
        memtrack_fork_changed_modules();
        return;
    }
    MEMTRACK_ADD(&memtrack_cfi_generation, 1);
    MEMTRACK_ADD(&memtrack_rt.region->module_generation, 1);
    __atomic_fetch_add(&memtrack_rt.page->epoch, (uint64_t)MEMTRACK_EPOCH_STEP, __ATOMIC_RELEASE);
}
