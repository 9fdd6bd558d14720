/* SPDX-License-Identifier: Apache-2.0
 *
 * The shim's private memory, and what becomes of it in a forked child.
 *
 * DATA MODEL. Two kinds. KEPT memory is copied into a forked child like the program's own: the live map, the rule cache,
 * the threads' states. SCRATCH memory is good for one process only, because it names records of that process's region:
 * memos, the intern tables, the threads' pointers to counters. It has MADV_WIPEONFORK, so that fork neither copies its
 * page tables nor has its pages written twice; a child gives it back and starts with none.
 *
 * The first of both comes from one mapping made at the start, the STARTER, in which pieces are carved one after the other:
 * most programs live for a millisecond, each further mapping costs 6 us, and each page that is touched 2 us. So pieces of
 * less than two pages share pages with others, and are never given back.
 *
 * A signal handler may fork while a hook runs, and the hook goes on in the child: its scratch memory must then be kept.
 * See fork.c, and `interrupted` below.
 *
 * Rules: raw system calls only; any thread, at any time, without a lock.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <sys/resource.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#define MADV_KEEPONFORK 19
#endif

#define MEMTRACK_STARTER_KEPT ((size_t)34 << 20) /* root and two chunks of the live map, rules, threads */
#define MEMTRACK_STARTER_SCRATCH ((size_t)6 << 20) /* what a compiler fills; each further mapping is copied by every fork */
#define MEMTRACK_LINE ((size_t)128) /* and its neighbour, which processors fetch with it */

/* Copied into the region so that a reader can measure them. A forked child starts with its parent's list. A slot is free
 * while its start is 0; BUSY (1) while being filled. */
static struct memtrack_mapping mappings[MEMTRACK_MAPPINGS];
static uint8_t is_scratch[MEMTRACK_MAPPINGS];

static struct zone {
    uintptr_t first, at, end;
} kept, scratch;

static void publish_mapping(struct memtrack_header *header, uint32_t place)
{
    MEMTRACK_STORE(&header->mappings[place].bytes, mappings[place].bytes);
    MEMTRACK_STORE_RELEASE(&header->mappings[place].start, MEMTRACK_LOAD(&mappings[place].start));
    uint32_t next = MEMTRACK_LOAD(&header->mapping_next);
    while (next <= place && !__atomic_compare_exchange_n(&header->mapping_next, &next, place + 1, false,
                                                         __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

void memtrack_private_publish(struct memtrack_header *header)
{
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++) {
        if (mappings[place].start <= 1)
            continue;
        publish_mapping(header, place);
        header->own_private_bytes += mappings[place].bytes;
        header->own_reserved_bytes += mappings[place].bytes;
    }
}

static void note_mapping(uint64_t start, uint64_t bytes, bool scratched)
{
    struct memtrack_header *header = memtrack_rt.region;
    if (header) {
        MEMTRACK_ADD(&header->own_private_bytes, bytes);
        MEMTRACK_ADD(&header->own_reserved_bytes, bytes);
    }
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++) {
        uint64_t expected = 0;
        if (!__atomic_compare_exchange_n(&mappings[place].start, &expected, UINT64_C(1), false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        mappings[place].bytes = bytes;
        is_scratch[place] = scratched;
        MEMTRACK_STORE_RELEASE(&mappings[place].start, start);
        if (header)
            publish_mapping(header, place);
        return;
    }
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + MEMTRACK_PAGE - 1) & ~(size_t)(MEMTRACK_PAGE - 1);
}

/* 0 where the kernel refuses. */
static uintptr_t map(size_t bytes, size_t scratched_from)
{
    bool is_locked = MEMTRACK_LOAD(&memtrack_rt.locks_future); /* then what may be accessed is faulted in at once */
    long at = memtrack_sys6(SYS_mmap, 0, (long)bytes, is_locked ? PROT_NONE : PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memtrack_sys_failed(at))
        return 0;
    if (is_locked) {
        memtrack_sys3(SYS_munlock, at, bytes, 0);
        memtrack_sys3(SYS_mprotect, at, bytes, PROT_READ | PROT_WRITE);
    }
    memtrack_sys3(SYS_madvise, at, bytes, MADV_NOHUGEPAGE);
    memtrack_sys3(SYS_madvise, at, bytes, MADV_DONTDUMP);
    if (scratched_from < bytes &&
        memtrack_sys3(SYS_madvise, (size_t)at + scratched_from, bytes - scratched_from, MADV_WIPEONFORK) != 0)
        memtrack_rt.pid_check = 1;
    return (uintptr_t)at;
}

uint64_t memtrack_private_reserved(void)
{
    uint64_t bytes = 0;
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++)
        if (MEMTRACK_LOAD_ACQUIRE(&mappings[place].start) > 1)
            bytes += mappings[place].bytes;
    return bytes;
}

uint64_t memtrack_private_limit(void)
{
    struct rlimit space, data;
    if (memtrack_sys4(SYS_prlimit64, 0, RLIMIT_AS, 0, &space) != 0 ||
        memtrack_sys4(SYS_prlimit64, 0, RLIMIT_DATA, 0, &data) != 0)
        return RLIM_INFINITY;
    return space.rlim_cur < data.rlim_cur ? space.rlim_cur : data.rlim_cur;
}

/* Returns the page that a forked child reads as 0, in front of the scratch memory. NULL: everything gets a mapping of its
 * own. So it is where the address space is limited, which is the program's. */
void *memtrack_private_start(void)
{
    if (memtrack_private_limit() != RLIM_INFINITY)
        return NULL;
    size_t bytes = MEMTRACK_STARTER_KEPT + MEMTRACK_STARTER_SCRATCH;
    uintptr_t at = map(bytes, MEMTRACK_STARTER_KEPT);
    if (!at)
        return NULL;
    kept = (struct zone){at, at, at + MEMTRACK_STARTER_KEPT};
    scratch = (struct zone){kept.end + MEMTRACK_PAGE, kept.end + MEMTRACK_PAGE, at + bytes};
    note_mapping(at, bytes, false);
    return (void *)kept.end;
}

static bool shares_page(size_t bytes)
{
    return bytes < 2 * MEMTRACK_PAGE;
}

static void *carve(struct zone *zone, size_t bytes)
{
    size_t alignment = shares_page(bytes) ? MEMTRACK_LINE : MEMTRACK_PAGE;
    bytes = (bytes + alignment - 1) & ~(alignment - 1);
    uintptr_t at = MEMTRACK_LOAD(&zone->at), start;
    do {
        start = (at + alignment - 1) & ~(alignment - 1);
        if (zone->end < start || zone->end - start < bytes)
            return NULL;
    } while (!__atomic_compare_exchange_n(&zone->at, &at, start + bytes, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return (void *)start;
}

static void *take(struct zone *zone, size_t bytes, bool scratched)
{
    void *piece = carve(zone, bytes);
    if (piece)
        return piece;
    bytes = whole_pages(bytes);
    uintptr_t at = map(bytes, scratched ? 0 : bytes);
    if (at)
        note_mapping(at, bytes, scratched);
    return (void *)at;
}

void *memtrack_map_private(size_t bytes)
{
    return take(&kept, bytes, false);
}

void *memtrack_map_scratch(size_t bytes)
{
    return take(&scratch, bytes, true);
}

void memtrack_private_populate(void *start, size_t bytes)
{
    uintptr_t first = ((uintptr_t)start + MEMTRACK_PAGE - 1) & ~(uintptr_t)(MEMTRACK_PAGE - 1);
    uintptr_t end = ((uintptr_t)start + bytes) & ~(uintptr_t)(MEMTRACK_PAGE - 1);
    if (end > first)
        memtrack_sys3(SYS_madvise, first, end - first, MADV_POPULATE_WRITE);
}

static bool is_in(const struct zone *zone, uintptr_t address)
{
    return address >= zone->first && address < zone->end;
}

void memtrack_unmap_private(void *start, size_t bytes)
{
    struct memtrack_header *header = memtrack_rt.region;
    bool is_carved = is_in(&kept, (uintptr_t)start) || is_in(&scratch, (uintptr_t)start);
    if (is_carved) {
        if (!shares_page(bytes))
            memtrack_sys3(SYS_madvise, start, whole_pages(bytes), MADV_DONTNEED);
        return;
    }
    bytes = whole_pages(bytes);
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++) {
        if (MEMTRACK_LOAD(&mappings[place].start) != (uint64_t)(uintptr_t)start)
            continue;
        if (header)
            MEMTRACK_STORE(&header->mappings[place].start, UINT64_C(0));
        MEMTRACK_STORE_RELEASE(&mappings[place].start, UINT64_C(0));
        break;
    }
    if (header) {
        MEMTRACK_ADD(&header->own_private_bytes, -(uint64_t)bytes);
        MEMTRACK_ADD(&header->own_reserved_bytes, -(uint64_t)bytes);
    }
    memtrack_sys3(SYS_munmap, start, bytes, 0);
}

/* Inherited: a child whose hook has ended before its repair must know, and so must that child's children. */
static bool is_kept_on_fork;

/* In the forked child, before it has a region. `interrupted`: a hook goes on here that uses its parent's scratch memory. */
void memtrack_private_after_fork(bool interrupted)
{
    if (interrupted) {
        scratch.at = scratch.end;
        return;
    }
    /* Wiped by the kernel, mostly, but a hook that a handler forked just before it was BUSY has gone on since, and has put
     * its parent's counters there. */
    if (scratch.end > scratch.first)
        memtrack_sys3(SYS_madvise, scratch.first, scratch.end - scratch.first, MADV_DONTNEED);
    if (is_kept_on_fork && scratch.end > scratch.first)
        memtrack_sys3(SYS_madvise, scratch.first, scratch.end - scratch.first, MADV_WIPEONFORK);
    is_kept_on_fork = false;
    scratch.at = scratch.first;
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++) {
        if (!is_scratch[place] || mappings[place].start <= 1)
            continue;
        memtrack_sys3(SYS_munmap, mappings[place].start, mappings[place].bytes, 0);
        mappings[place].start = 0;
    }
}

void memtrack_private_keep_on_fork(bool keep)
{
    is_kept_on_fork = keep;
    int advice = keep ? MADV_KEEPONFORK : MADV_WIPEONFORK;
    if (scratch.end > scratch.first)
        memtrack_sys3(SYS_madvise, scratch.first, scratch.end - scratch.first, advice);
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++)
        if (is_scratch[place] && MEMTRACK_LOAD_ACQUIRE(&mappings[place].start) > 1)
            memtrack_sys3(SYS_madvise, mappings[place].start, mappings[place].bytes, advice);
}

struct memtrack_mapping memtrack_own_mapping(uint64_t start, uint64_t end)
{
    struct memtrack_mapping first = {end, 0};
    uint32_t count = MEMTRACK_MAPPINGS;
    for (uint32_t place = 0; place <= count; place++) {
        struct memtrack_mapping at = {(uint64_t)(uintptr_t)memtrack_rt.region, memtrack_rt.region_pages * MEMTRACK_PAGE};
        if (place < count)
            at = (struct memtrack_mapping){MEMTRACK_LOAD_ACQUIRE(&mappings[place].start), mappings[place].bytes};
        if (at.start > 1 && at.start < first.start && at.start + at.bytes > start)
            first = at;
    }
    if (first.start < start) {
        first.bytes -= start - first.start;
        first.start = start;
    }
    return first;
}

void memtrack_unlock_own(void)
{
    memtrack_sys3(SYS_munlock, memtrack_rt.region, memtrack_rt.region_pages * MEMTRACK_PAGE, 0);
    for (uint32_t place = 0; place < MEMTRACK_MAPPINGS; place++)
        if (MEMTRACK_LOAD_ACQUIRE(&mappings[place].start) > 1)
            memtrack_sys3(SYS_munlock, mappings[place].start, mappings[place].bytes, 0);
}
