/* SPDX-License-Identifier: Apache-2.0
 *
 * Banks and their owners.
 *
 * A thread gets a bank at its first allocation and keeps it. Nothing tells us when it ends (a TLS destructor
 * would run before the last frees of other destructors), so a thread that needs a bank looks at a few that
 * are taken and asks the kernel whether the owner is still alive: tgkill with signal 0. A bank keeps its counters
 * when it changes hands: they are sums, it does not matter whose.
 *
 * A handler that interrupts a thread's first allocation, and allocates, takes a bank for it; the interrupted call may take another.
 * The first is then nobody's until the thread ends, and keeps its counts, as any bank does.
 *
 * FEW EVENTS. Counters come by the page, 64 cells. A hundred threads that each count a little all over the place would take a
 * hundred times the pages of one. So a thread other than the first counts in bank 0, with atomic additions, until it has come
 * MEMTRACK_PAGE_EARNED times for the cells of a page.
 *
 * The private side of a bank (struct memtrack_thread, memo, scratch, pointers to the counters) is one mapping,
 * pooled with the bank. Bank 0 is nobody's: see memtrack_shared_counters.
 */
#include "runtime.h"

#include "memo.h"
#include "python.h"
#include "stacks.h"

#include <errno.h>

#define MEMTRACK_RECLAIM_TRIES 8u
#define MEMTRACK_ACQUIRE_BACKOFF 65536u /* calls by threads without a bank */
#define MEMTRACK_PAGE_EARNED 16u
#define MEMTRACK_CHUNK_POINTERS (MEMTRACK_MAX_COUNTER_INDEX / MEMTRACK_COUNTERS_PER_CHUNK)

extern void *__libc_stack_end __attribute__((weak));

/* States of threads, by bank index, a few of them at a time. They are kept memory, so that a forked child can look at its
 * own; all else that a thread has is scratch. */
#define MEMTRACK_STATES_AT_ONCE 8u
MEMTRACK_LARGE struct memtrack_thread *memtrack_threads[MEMTRACK_BANKS];
static struct memtrack_thread *states[MEMTRACK_BANKS / MEMTRACK_STATES_AT_ONCE];

static struct memtrack_thread *thread_make(uint32_t index)
{
    struct memtrack_thread **few = &states[index / MEMTRACK_STATES_AT_ONCE], *expected = MEMTRACK_LOAD_ACQUIRE(few);
    if (!expected) {
        struct memtrack_thread *fresh = memtrack_map_private(MEMTRACK_STATES_AT_ONCE * sizeof(*fresh));
        if (!fresh)
            return NULL;
        if (__atomic_compare_exchange_n(few, &expected, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            expected = fresh; /* else another thread was first, and these are never touched */
    }
    struct memtrack_thread *thread = expected + index % MEMTRACK_STATES_AT_ONCE;
    size_t memo = (sizeof(struct memtrack_memo) + 63) & ~(size_t)63;
    size_t walk = (sizeof(struct memtrack_walk) + 63) & ~(size_t)63;
    size_t front = (memo + 2 * walk + MEMTRACK_PAGE - 1) & ~(size_t)(MEMTRACK_PAGE - 1);
    char *at = memtrack_map_scratch(front + MEMTRACK_CHUNK_POINTERS * (sizeof(void *) + 1));
    if (!at)
        return NULL;
    *thread = (struct memtrack_thread){
        .memo = (struct memtrack_memo *)(void *)at,
        .walks = {(struct memtrack_walk *)(void *)(at + memo), (struct memtrack_walk *)(void *)(at + memo + walk)},
        .chunks = (struct memtrack_counters **)(void *)(at + front),
    };
    thread->visits = (uint8_t *)(thread->chunks + MEMTRACK_CHUNK_POINTERS);
    return thread;
}

/* glibc puts the thread control block at the top of every stack that it or the program provides; the initial thread's
 * stack lies elsewhere and is known by name. */
uintptr_t memtrack_stack_top(uintptr_t here)
{
    uintptr_t control_block = (uintptr_t)__builtin_thread_pointer();
    uintptr_t initial = &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
    const uintptr_t most = (uintptr_t)1 << 34; /* no stack is larger than 16 GiB */
    bool in_initial = here < initial && initial - here < most;
    bool in_thread = here < control_block && control_block - here < most;
    if (in_initial && in_thread)
        return initial < control_block ? initial : control_block;
    return in_initial ? initial : in_thread ? control_block : 0;
}

static void thread_adopt(struct memtrack_thread *thread, uint32_t index, struct memtrack_bank *bank, uint32_t tid,
                         uint64_t *mark)
{
    /* From here a signal handler finds the thread busy. One that came before may have taken this very bank for
     * the thread; it is done with it. Should one leave us here by longjmp, epoch 0 says so. */
    thread->epoch = 0;
    thread->stack_top = memtrack_stack_top((uintptr_t)mark);
    thread->stack_low = thread->stack_top;
    thread->stack_hole = 0;
    memtrack_set_busy(thread, mark);
    memtrack_self = thread;
    MEMTRACK_SIGNAL_FENCE();
    uint32_t seen = MEMTRACK_ADD(&memtrack_rt.threads_seen, 1) + 1;
    thread->multi = seen > 1;
    if (thread->multi)
        MEMTRACK_STORE_RELEASE(&memtrack_rt.region->threads_seen_shared, 1u);
    thread->headroom = thread->multi ? INT64_MAX : 0;
    thread->bank = bank;
    thread->bank_index = index;
    thread->cell_bias = memtrack_rt.cell_bias;
    thread->tid = tid;
    thread->last_block = 0;
    memtrack_python_adopt(thread);
    thread->memo->region = memtrack_rt.region;
    memtrack_memo_clear(thread->memo);
    memtrack_walk_forget(thread);
    MEMTRACK_STORE(&bank->owners, bank->owners + 1);
    MEMTRACK_SIGNAL_FENCE();
    thread->epoch = memtrack_epoch_for_threads();
}

static bool owner_is_gone(uint32_t owner, uint32_t self)
{
    /* Thread ids are unique: our own id in a bank that is not ours was left by a thread that ended. */
    return owner == 0 || owner == self ||
           memtrack_sys3(SYS_tgkill, memtrack_rt.pid, owner, 0) == -ESRCH;
}

static struct memtrack_thread *reclaim(uint32_t tid, uint64_t *mark, uint32_t tries)
{
    uint32_t count = MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.region->bank_next);
    if (count > MEMTRACK_BANKS)
        count = MEMTRACK_BANKS;
    for (uint32_t i = 0; i < tries && i + 1 < count; i++) {
        uint32_t index = 1 + MEMTRACK_ADD(&memtrack_rt.reclaim_hint, 1) % (count - 1);
        struct memtrack_thread *thread = MEMTRACK_LOAD_ACQUIRE(&memtrack_threads[index]);
        if (!thread)
            continue; /* its bank may be in a part of the directory that is not there yet */
        uint32_t page = MEMTRACK_LOAD_ACQUIRE(&memtrack_directory(memtrack_rt.region, index)->bank);
        if (!page)
            continue;
        struct memtrack_bank *bank = memtrack_region_at(page);
        uint32_t owner = MEMTRACK_LOAD_ACQUIRE(&bank->owner);
        if (!owner_is_gone(owner, tid))
            continue;
        if (__atomic_compare_exchange_n(&bank->owner, &owner, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            thread_adopt(thread, index, bank, tid, mark);
            return thread;
        }
    }
    return NULL;
}

static struct memtrack_thread *extend(uint32_t tid, uint64_t *mark)
{
    uint32_t index = MEMTRACK_LOAD(&memtrack_rt.region->bank_next);
    if (index >= MEMTRACK_BANKS)
        return NULL;
    uint32_t page = memtrack_region_take(1); /* before an index is used up */
    if (!page)
        return NULL;
    do {
        if (index >= MEMTRACK_BANKS || !memtrack_directory_reserve(memtrack_rt.region, index))
            return NULL;
    } while (!__atomic_compare_exchange_n(&memtrack_rt.region->bank_next, &index, index + 1, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    struct memtrack_thread *thread = thread_make(index);
    if (!thread)
        return NULL;
    struct memtrack_bank *bank = memtrack_region_at(page);
    bank->owner = tid;
    MEMTRACK_STORE_RELEASE(&memtrack_directory(memtrack_rt.region, index)->bank, page);
    thread_adopt(thread, index, bank, tid, mark);
    MEMTRACK_STORE_RELEASE(&memtrack_threads[index], thread);
    return thread;
}

/* A bank for the calling thread; NULL where none is to be had. Then nobody asks again for a while: looking
 * through all owners costs a system call each. Nor does a vfork child get one that runs on a thread without: the kernel
 * knows the bank's owner under another process, and would call it dead when the parent goes on with the bank. */
struct memtrack_thread *memtrack_thread_acquire(uint64_t *mark)
{
    uint32_t backoff = MEMTRACK_LOAD(&memtrack_rt.acquire_backoff);
    if (backoff) {
        MEMTRACK_STORE(&memtrack_rt.acquire_backoff, backoff - 1);
        return NULL;
    }
    if ((uint32_t)memtrack_sys3(SYS_getpid, 0, 0, 0) != memtrack_rt.pid)
        return NULL;
    long own = memtrack_sys3(SYS_gettid, 0, 0, 0);
    if (memtrack_sys_failed(own))
        return NULL;
    uint32_t tid = (uint32_t)own;
    struct memtrack_thread *thread = reclaim(tid, mark, MEMTRACK_RECLAIM_TRIES);
    if (!thread)
        thread = extend(tid, mark);
    if (!thread)
        thread = reclaim(tid, mark, MEMTRACK_BANKS);
    if (!thread)
        MEMTRACK_STORE(&memtrack_rt.acquire_backoff, MEMTRACK_ACQUIRE_BACKOFF);
    return thread;
}

/* The page of counters that holds `index` in a bank, made if need be; NULL if refused. */
static struct memtrack_counters *counters_page(struct memtrack_bank *bank, uint32_t index)
{
    struct memtrack_header *region = memtrack_rt.region;
    uint32_t chunk = index / MEMTRACK_COUNTERS_PER_CHUNK;
    if (chunk < MEMTRACK_BANK_CHUNKS)
        return memtrack_page_named(region, &bank->chunks[chunk]);
    chunk -= MEMTRACK_BANK_CHUNKS;
    uint32_t *directory = memtrack_page_named(region, &bank->directories[chunk / MEMTRACK_CHUNKS_PER_DIRECTORY]);
    return directory ? memtrack_page_named(region, &directory[chunk % MEMTRACK_CHUNKS_PER_DIRECTORY]) : NULL;
}

/* Has this thread reason enough to have a page for these cells of its own? */
static bool has_earned(struct memtrack_thread *thread, uint32_t index)
{
    uint8_t *visits = &thread->visits[index / MEMTRACK_COUNTERS_PER_CHUNK];
    if (index < MEMTRACK_FIRST_CELL || thread->bank_index == 1 || *visits == MEMTRACK_PAGE_EARNED)
        return true;
    ++*visits;
    return false;
}

/* The counters for `index` when memtrack_thread.chunks has none yet: in the thread's bank, or marked as shared. */
MEMTRACK_COLD struct memtrack_counters *memtrack_counters_make(struct memtrack_thread *thread, uint32_t index)
{
    if (MEMTRACK_UNLIKELY(memtrack_is_forked_child()))
        return NULL; /* a handler forked just before this hook was BUSY: these are the parent's */
    if (!has_earned(thread, index)) {
        struct memtrack_counters *shared = memtrack_shared_counters(index);
        if (shared)
            return (struct memtrack_counters *)((uintptr_t)shared | 1);
    }
    /* No bank: a handler forked between the hook's first look at its thread and its start. */
    struct memtrack_counters *chunk = thread->bank ? counters_page(thread->bank, index) : NULL;
    if (!chunk)
        return NULL;
    thread->chunks[index / MEMTRACK_COUNTERS_PER_CHUNK] = chunk;
    return chunk + index % MEMTRACK_COUNTERS_PER_CHUNK;
}

/* Counters in bank 0, for calls that own no bank. They are changed with atomic additions. */
struct memtrack_counters *memtrack_shared_counters(uint32_t index)
{
    if (index >= MEMTRACK_MAX_COUNTER_INDEX)
        return NULL;
    struct memtrack_bank *bank = memtrack_region_chunk(memtrack_rt.region, 0, MEMTRACK_ENTRY(bank));
    struct memtrack_counters *counters = bank ? counters_page(bank, index) : NULL;
    return counters ? counters + index % MEMTRACK_COUNTERS_PER_CHUNK : NULL;
}

/* In a forked child: no thread but the caller exists, and the new region has no banks yet. A hook that the fork interrupted
 * (in a signal handler) goes on with its thread's state, which is then nobody else's. `banks` were in use in the parent. */
void memtrack_threads_after_fork(uint32_t banks, bool interrupted)
{
    memtrack_rt.threads_seen = 0;
    memtrack_rt.reclaim_hint = 0;
    for (uint32_t i = 1; i < banks && i < MEMTRACK_BANKS; i++)
        if (memtrack_threads[i]) /* or else the pages of the array would be written to, and copied */
            memtrack_threads[i] = NULL;
    if (interrupted)
        __builtin_memset(states, 0, sizeof(states));
}
