/* SPDX-License-Identifier: Apache-2.0
 *
 * Making the region file and taking pages from it.
 *
 * The file is sparse and mapped whole, once; its descriptor is closed again at once. Every piece is reserved before it is
 * touched, with MADV_POPULATE_WRITE (Linux 5.14), which needs no descriptor, no path and no privilege, and returns an
 * error where a plain store would raise SIGBUS on a full file system. Older kernels: fallocate, for which the file is opened
 * again by its path. A page of tmpfs costs its process 4 us, from here to the file's end: a small process takes none for later,
 * a larger one an eighth of what it has, by one call.
 *
 * Rules: raw system calls only; any thread may take pages at any time; nothing is ever given back.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MEMTRACK_INITIAL_PAGES 5u /* beside the header's: what every process that allocates touches */
#define MEMTRACK_LEAST_PAGES (MEMTRACK_FIRST_FREE_PAGE + MEMTRACK_INITIAL_PAGES)
#define MEMTRACK_DEFAULT_BYTES (UINT64_C(256) << 20)
#define MEMTRACK_AHEAD_PAGES 64u
#define MEMTRACK_BACKOFF 1024u
#define MEMTRACK_SMALL_PAGES 24u
#define MEMTRACK_SPACE_SHARE 32u /* the region's part of a limited address space */


static uint32_t has_overflow; /* the counters of the overflow cells have been made, or tried */

static void append(char *to, size_t size, const char *text)
{
    size_t at = 0;
    while (at < size && to[at])
        at++;
    while (at + 1 < size && *text)
        to[at++] = *text++;
    if (at < size)
        to[at] = 0;
}

static void append_number(char *to, size_t size, uint64_t number)
{
    char digits[24];
    int at = 23;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    append(to, size, digits + at);
}

long memtrack_read_file(const char *path, char *to, size_t size)
{
    long fd = memtrack_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (memtrack_sys_failed(fd))
        return -1;
    size_t have = 0;
    while (have < size) {
        long got = memtrack_sys3(SYS_read, fd, to + have, size - have);
        if (got == -EINTR)
            continue;
        if (memtrack_sys_failed(got) || got == 0)
            break;
        have += (size_t)got;
    }
    memtrack_sys3(SYS_close, fd, 0, 0);
    return (long)have;
}

/* A directory of ours: owned by us, not writable or readable for others, no symbolic link. */
static long open_directory(const char *path, bool make)
{
    if (make)
        memtrack_sys3(SYS_mkdir, path, 0700, 0);
    long fd = memtrack_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (memtrack_sys_failed(fd))
        return -1;
    struct stat status;
    if (memtrack_sys4(SYS_newfstatat, fd, "", &status, AT_EMPTY_PATH) != 0 ||
        status.st_uid != (uid_t)memtrack_sys3(SYS_geteuid, 0, 0, 0) || (status.st_mode & 077) != 0) {
        memtrack_sys3(SYS_close, fd, 0, 0);
        return -1;
    }
    return fd;
}

static long open_session(void)
{
    if (memtrack_rt.session[0] && !memtrack_rt.is_bare)
        return open_directory(memtrack_rt.session, false);
    memtrack_rt.is_bare = 1;
    static const char *const roots[] = {"/dev/shm/memtrack-", "/tmp/memtrack-"};
    for (int i = 0; i < 2; i++) {
        char path[64] = "";
        append(path, sizeof(path), roots[i]);
        append_number(path, sizeof(path), (uint64_t)memtrack_sys3(SYS_geteuid, 0, 0, 0));
        long fd = open_directory(path, true);
        if (fd >= 0) {
            memtrack_rt.session[0] = 0;
            append(memtrack_rt.session, sizeof(memtrack_rt.session), path);
            memtrack_reap(fd);
            return fd;
        }
    }
    return -1;
}

static uint64_t capacity_pages(void)
{
    uint64_t bytes = memtrack_rt.region_bytes ? memtrack_rt.region_bytes : MEMTRACK_DEFAULT_BYTES;
    struct rlimit limit;
    /* Address space that the program is short of is the program's. */
    if (memtrack_sys4(SYS_prlimit64, 0, RLIMIT_AS, 0, &limit) == 0 && limit.rlim_cur / MEMTRACK_SPACE_SHARE < bytes)
        bytes = limit.rlim_cur / MEMTRACK_SPACE_SHARE;
    if (memtrack_sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) == 0 && limit.rlim_cur < bytes)
        bytes = limit.rlim_cur; /* going past it raises SIGXFSZ, which kills */
    uint64_t pages = bytes / MEMTRACK_PAGE;
    return pages < UINT32_MAX ? pages : UINT32_MAX;
}

static void name_file(char *to, size_t size, const char *prefix, uint64_t created)
{
    to[0] = 0;
    append(to, size, prefix);
    append_number(to, size, (uint64_t)memtrack_sys3(SYS_getpid, 0, 0, 0));
    append(to, size, "-");
    append_number(to, size, created);
}

/* Of a process of which nothing is known, for want of room or of address space: an empty file says that it was there. */
static void leave_trace(long directory, uint64_t created)
{
    char name[sizeof(memtrack_rt.region_name)];
    name_file(name, sizeof(name), "lost-", created);
    long fd = memtrack_sys4(SYS_openat, directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (!memtrack_sys_failed(fd))
        memtrack_sys3(SYS_close, fd, 0, 0);
}

void memtrack_region_give_up(void)
{
    long directory = open_session();
    if (directory < 0)
        return;
    leave_trace(directory, memtrack_clock_ns(CLOCK_MONOTONIC));
    memtrack_sys3(SYS_close, directory, 0, 0);
}

static bool reserve_first(long fd, void *mapping, uint64_t first, uint64_t pages)
{
    return memtrack_sys3(SYS_madvise, (char *)mapping + first * MEMTRACK_PAGE, pages * MEMTRACK_PAGE,
                         MADV_POPULATE_WRITE) == 0 ||
           memtrack_sys4(SYS_fallocate, fd, 0, first * MEMTRACK_PAGE, pages * MEMTRACK_PAGE) == 0;
}

static void *map_file(long fd)
{
    /* The address space may be too full for the whole: try smaller. */
    for (; memtrack_rt.region_pages >= MEMTRACK_LEAST_PAGES; memtrack_rt.region_pages /= 4) {
        long bytes = (long)(memtrack_rt.region_pages * MEMTRACK_PAGE);
        if (memtrack_sys3(SYS_ftruncate, fd, bytes, 0) != 0)
            continue;
        long at = memtrack_sys6(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (!memtrack_sys_failed(at)) {
            memtrack_sys3(SYS_madvise, at, bytes, MADV_DONTDUMP);
            /* On a disk each first touch would read ahead, megabytes of a file without contents. */
            if (__builtin_strncmp(memtrack_rt.session, "/dev/shm/", 9) != 0)
                memtrack_sys3(SYS_madvise, at, bytes, MADV_RANDOM);
            if (reserve_first(fd, (void *)at, 0, 1) &&
                reserve_first(fd, (void *)at, MEMTRACK_FIRST_FREE_PAGE, MEMTRACK_INITIAL_PAGES))
                return (void *)at;
            memtrack_sys3(SYS_munmap, at, bytes, 0);
            return NULL;
        }
    }
    return NULL;
}

/* Makes and maps the file; false where that is not possible, and then a trace is left at most. */
bool memtrack_region_create(const struct memtrack_header *parent, uint32_t cell_base)
{
    memtrack_rt.region = NULL;
    memtrack_rt.region_pages = capacity_pages();
    long directory = open_session();
    if (directory < 0)
        return false;

    uint64_t created = memtrack_clock_ns(CLOCK_MONOTONIC);
    char *name = memtrack_rt.region_name;
    name_file(name, sizeof(memtrack_rt.region_name), "region-", created);
    long fd = memtrack_sys4(SYS_openat, directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *mapping = NULL;
    if (!memtrack_sys_failed(fd)) {
        mapping = map_file(fd);
        memtrack_sys3(SYS_close, fd, 0, 0);
        if (!mapping)
            memtrack_sys3(SYS_unlinkat, directory, name, 0);
    }
    if (!mapping)
        leave_trace(directory, created);
    memtrack_sys3(SYS_close, directory, 0, 0);
    if (!mapping)
        return false;

    struct memtrack_header *header = mapping;
    memtrack_rt.reserved_pages = MEMTRACK_LEAST_PAGES;
    memtrack_rt.region_backoff = 0;
    has_overflow = 0;
    memtrack_identity_write(header, parent, cell_base, created);
    memtrack_rt.cell_bias = cell_base - MEMTRACK_FIRST_CELL;
    MEMTRACK_STORE_RELEASE(&memtrack_rt.region, header); /* from here a signal handler of ours may count in it */
    memtrack_private_publish(header);
    MEMTRACK_STORE_RELEASE(&header->state, (uint32_t)MEMTRACK_STATE_COUNTING);
    MEMTRACK_STORE_RELEASE(&header->magic, MEMTRACK_MAGIC);
    return true;
}

/* For kernels without MADV_POPULATE_WRITE. The file may be gone or another one by now: then refuse. */
static bool reserve_by_path(uint64_t first, uint32_t pages)
{
    char path[sizeof(memtrack_rt.session) + sizeof(memtrack_rt.region_name) + 2] = "";
    append(path, sizeof(path), memtrack_rt.session);
    append(path, sizeof(path), "/");
    append(path, sizeof(path), memtrack_rt.region_name);
    long fd = memtrack_sys4(SYS_openat, AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
    if (memtrack_sys_failed(fd))
        return false;
    uint64_t found = 0;
    long got = memtrack_sys4(SYS_pread64, fd, &found, 8, offsetof(struct memtrack_header, created_monotonic_ns));
    bool same = got == 8 && found == memtrack_rt.region->created_monotonic_ns;
    long result = same ? memtrack_sys4(SYS_fallocate, fd, 0, first * MEMTRACK_PAGE, (long)pages * MEMTRACK_PAGE)
                       : -EBADF;
    memtrack_sys3(SYS_close, fd, 0, 0);
    return result == 0;
}

/* Reserves [first, first + pages), however the kernel lets us. */
static bool reserve(struct memtrack_header *header, uint64_t first, uint32_t pages)
{
    if (!MEMTRACK_LOAD(&memtrack_rt.populate_missing)) {
        long result = memtrack_sys3(SYS_madvise, memtrack_page_of(header, (uint32_t)first), (long)pages * MEMTRACK_PAGE,
                                    MADV_POPULATE_WRITE);
        if (result == 0)
            return true;
        if (result == -EINVAL || result == -ENOSYS || result == -EPERM) {
            MEMTRACK_STORE(&memtrack_rt.populate_missing, 1);
            header->capabilities &= ~MEMTRACK_CAP_POPULATE;
        }
    }
    return MEMTRACK_LOAD(&memtrack_rt.populate_missing) && reserve_by_path(first, pages);
}

/* Reserves pages of which `first` is the first, and some more while the kernel is at it: an eighth of what is in use. A page
 * then costs a quarter less. */
static bool reserve_ahead(uint64_t first, uint32_t pages)
{
    uint64_t used = first - MEMTRACK_FIRST_FREE_PAGE, more = used / 8 < MEMTRACK_AHEAD_PAGES ? used / 8 : MEMTRACK_AHEAD_PAGES;
    uint64_t end = first + pages + more;
    if (end > memtrack_rt.region_pages || !reserve(memtrack_rt.region, first, (uint32_t)(pages + more))) {
        end = first + pages;
        if (!more || !reserve(memtrack_rt.region, first, pages))
            return false;
    }
    /* Pages before `first` may be another thread's, who is refused them: nobody else will ask for them, as they are given
     * back only if none that lie behind are in use. */
    uint64_t known = MEMTRACK_LOAD(&memtrack_rt.reserved_pages);
    while (known < end && !__atomic_compare_exchange_n(&memtrack_rt.reserved_pages, &known, end, false, __ATOMIC_RELEASE,
                                                       __ATOMIC_RELAXED))
        ;
    return true;
}

/* When there is no room for cells any more, their allocations count under (region full). That needs counters, too: a region
 * that has outgrown a small program's makes them while there is room. */
static uint32_t with_overflow(uint64_t page)
{
    uint64_t used = page - MEMTRACK_FIRST_FREE_PAGE, capacity = memtrack_rt.region_pages - MEMTRACK_FIRST_FREE_PAGE;
    bool is_small = used < MEMTRACK_SMALL_PAGES && used < capacity / 2;
    if (MEMTRACK_UNLIKELY(!is_small && !MEMTRACK_LOAD(&has_overflow))) {
        MEMTRACK_STORE(&has_overflow, 1u);
        memtrack_shared_counters(memtrack_builtin_cell(MEMTRACK_KIND_OVERFLOW, 0));
    }
    return (uint32_t)page;
}

uint32_t memtrack_region_take(uint32_t pages)
{
    struct memtrack_header *header = memtrack_rt.region;
    if (!header)
        return 0;
    uint32_t backoff = MEMTRACK_LOAD(&memtrack_rt.region_backoff);
    if (MEMTRACK_UNLIKELY(backoff)) {
        MEMTRACK_STORE(&memtrack_rt.region_backoff, backoff - 1);
        MEMTRACK_ADD(&header->health.region_refusals, 1);
        return 0;
    }
    uint64_t first = MEMTRACK_ADD(&header->used_pages, (uint64_t)pages);
    if (first + pages <= MEMTRACK_LOAD_ACQUIRE(&memtrack_rt.reserved_pages))
        return with_overflow(first);
    if (first + pages <= memtrack_rt.region_pages && reserve_ahead(first, pages))
        return with_overflow(first);
    /* Given back only if nobody has taken pages since; else they stay a hole. */
    uint64_t expected = first + pages;
    __atomic_compare_exchange_n(&header->used_pages, &expected, first, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    MEMTRACK_STORE(&memtrack_rt.region_backoff, MEMTRACK_BACKOFF);
    MEMTRACK_ADD(&header->health.region_refusals, 1);
    return 0;
}

bool memtrack_directory_reserve(struct memtrack_header *region, uint32_t index)
{
    uint32_t page = (MEMTRACK_DIRECTORY_OFFSET + index * (uint32_t)sizeof(struct memtrack_directory_entry)) / MEMTRACK_PAGE;
    uint32_t bit = page ? UINT32_C(1) << (page - 1) : 0;
    if (MEMTRACK_LIKELY((MEMTRACK_LOAD_ACQUIRE(&region->directory_pages) & bit) == bit))
        return true;
    if (page >= memtrack_rt.region_pages || !reserve(region, page, 1)) {
        MEMTRACK_ADD(&region->health.region_refusals, 1);
        return false;
    }
    __atomic_fetch_or(&region->directory_pages, bit, __ATOMIC_RELEASE);
    return true;
}

/* In one region throughout: after the system call that takes a page, a handler may have forked, and the child's region has
 * something else at that page. */
void *memtrack_page_named(struct memtrack_header *region, uint32_t *place)
{
    uint32_t page = MEMTRACK_LOAD_ACQUIRE(place);
    if (MEMTRACK_UNLIKELY(!page)) {
        uint32_t fresh = memtrack_region_take(1);
        if (!fresh)
            return NULL;
        if (__atomic_compare_exchange_n(place, &page, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            page = fresh;
    }
    return memtrack_page_of(region, page);
}

void *memtrack_region_chunk(struct memtrack_header *region, uint32_t index, size_t field)
{
    if (!memtrack_directory_reserve(region, index))
        return NULL;
    return memtrack_page_named(region, (uint32_t *)(void *)memtrack_directory(region, index) + field);
}
