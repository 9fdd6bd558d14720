/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that locks itself in.
 *
 * A seccomp filter may kill the process for a system call that it would never have made without us. So prctl and
 * syscall are looked at: before a filter is put in place, its program is run here over each call that the shim makes,
 * and what it would not plainly allow is not made from then on; memtrack_sys6 answers for the kernel with ENOSYS, and
 * its callers do without. In strict mode nothing is allowed.
 *
 * Not seen: filters put in place by system call instructions of the program's own, and those inherited through exec,
 * which have let the loader and this library's start pass.
 */
#define _GNU_SOURCE
#include "next.h"
#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define MEMTRACK_EXPORT __attribute__((visibility("default"), used))
#define MEMTRACK_PR_SET_SECCOMP 22
#define MEMTRACK_AHEAD_PAGES 256u /* reserved before growing is forbidden */


uint8_t memtrack_denied[MEMTRACK_SYSCALLS];

/* Every system call of the shim, with the arguments that a filter may look at. */
static const struct {
    uint16_t number;
    uint64_t arguments[6];
} calls[] = {
    {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, UINT64_MAX, 0}},
    {SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, 3, 0}},
    {SYS_munmap, {0, 4096, 0, 0, 0, 0}},
    {SYS_madvise, {0, 4096, MADV_POPULATE_WRITE, 0, 0, 0}},
    {SYS_madvise, {0, 4096, MADV_DONTNEED, 0, 0, 0}},
    {SYS_madvise, {0, 4096, MADV_NOHUGEPAGE, 0, 0, 0}},
    {SYS_madvise, {0, 4096, MADV_DONTDUMP, 0, 0, 0}},
    {SYS_madvise, {0, 4096, MADV_DONTFORK, 0, 0, 0}},
    {SYS_mprotect, {0, 4096, PROT_READ | PROT_WRITE, 0, 0, 0}},
    {SYS_mlock, {0, 4096, 0, 0, 0, 0}},
    {SYS_mlock2, {0, 4096, 0, 0, 0, 0}},
    {SYS_munlock, {0, 4096, 0, 0, 0, 0}},
    {SYS_mlockall, {1, 0, 0, 0, 0, 0}},
    {SYS_rt_sigprocmask, {UINT64_MAX, 0, 0, 8, 0, 0}},
    {SYS_sigaltstack, {0, 0, 0, 0, 0, 0}},
    {SYS_clock_gettime, {0}},
    {SYS_gettid, {0}},
    {SYS_getpid, {0}},
    {SYS_getppid, {0}},
    {SYS_geteuid, {0}},
    {SYS_tgkill, {1, 1, 0, 0, 0, 0}},
    {SYS_prlimit64, {0}},
    {SYS_openat, {(uint64_t)-100, 0, 0, 0, 0, 0}},
    {SYS_openat, {(uint64_t)-100, 0, 0302, 0600, 0, 0}},
    {SYS_close, {3, 0, 0, 0, 0, 0}},
    {SYS_read, {3, 0, 0, 0, 0, 0}},
    {SYS_pread64, {3, 0, 0, 0, 0, 0}},
    {SYS_newfstatat, {0}},
    {SYS_readlink, {0}},
    {SYS_mkdir, {0, 0700, 0, 0, 0, 0}},
    {SYS_fallocate, {3, 0, 0, 0, 0, 0}},
    {SYS_ftruncate, {3, 0, 0, 0, 0, 0}},
    {SYS_unlinkat, {3, 0, 0, 0, 0, 0}},
    {SYS_kill, {1, 0, 0, 0, 0, 0}},
    {SYS_lseek, {3, 0, 0, 0, 0, 0}},
    {SYS_getdents64, {3, 0, 0, 0, 0, 0}},
    {SYS_fstatfs, {3, 0, 0, 0, 0, 0}},
    {SYS_open, {0, 04001, 0, 0, 0, 0}}, /* the last census: this and the next two */
    {SYS_write, {3, 0, 8, 0, 0, 0}},
    {SYS_nanosleep, {0}},
    {SYS_fcntl, {3, 1, 0, 0, 0, 0}}, /* --verify-stacks: this and the next */
    {SYS_fstat, {3, 0, 0, 0, 0, 0}},
};
#define MEMTRACK_CALLS (sizeof(calls) / sizeof(calls[0]))

static uint32_t arithmetic(uint16_t operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return b ? a / b : 0;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_LSH: return b < 32 ? a << b : 0;
    case BPF_RSH: return b < 32 ? a >> b : 0;
    case BPF_XOR: return a ^ b;
    case BPF_NEG: return -a;
    default: return 0;
    }
}

static bool jumps(uint16_t operation, uint32_t a, uint32_t b)
{
    switch (operation) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    case BPF_JSET: return (a & b) != 0;
    default: return false;
    }
}

/* What the filter answers; 0 (kill) for a program that the kernel would refuse. Jumps go forward and stay inside, so it ends. */
static uint32_t run(const struct sock_filter *program, uint32_t length, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    for (uint32_t pc = 0; pc < length; pc++) {
        const struct sock_filter *at = &program[pc];
        uint32_t operand = BPF_SRC(at->code) == BPF_X ? x : at->k;
        uint32_t loaded = 0;
        switch (BPF_CLASS(at->code)) {
        case BPF_LD:
        case BPF_LDX:
            if (BPF_MODE(at->code) == BPF_IMM)
                loaded = at->k;
            else if (BPF_MODE(at->code) == BPF_MEM && at->k < BPF_MEMWORDS)
                loaded = memory[at->k];
            else if (BPF_MODE(at->code) == BPF_LEN)
                loaded = sizeof(*data);
            else if (BPF_MODE(at->code) == BPF_ABS && at->k <= sizeof(*data) - 4 && at->k % 4 == 0)
                __builtin_memcpy(&loaded, (const char *)data + at->k, 4);
            else
                return 0;
            *(BPF_CLASS(at->code) == BPF_LD ? &a : &x) = loaded;
            break;
        case BPF_ST:
        case BPF_STX:
            if (at->k >= BPF_MEMWORDS)
                return 0;
            memory[at->k] = BPF_CLASS(at->code) == BPF_ST ? a : x;
            break;
        case BPF_ALU:
            a = arithmetic(BPF_OP(at->code), a, operand);
            break;
        case BPF_JMP:
            if (BPF_OP(at->code) != BPF_JA)
                pc += jumps(BPF_OP(at->code), a, operand) ? at->jt : at->jf;
            else if (at->k < length - pc)
                pc += at->k;
            else
                return 0;
            break;
        case BPF_RET:
            return BPF_RVAL(at->code) == BPF_A ? a : at->k;
        default:
            *(BPF_MISCOP(at->code) == BPF_TAX ? &x : &a) = BPF_MISCOP(at->code) == BPF_TAX ? a : x;
        }
    }
    return 0;
}

static bool is_readable(const void *start, size_t bytes)
{
    uintptr_t last = (uintptr_t)start + bytes - 8;
    for (uintptr_t at = (uintptr_t)start; at < last; at += MEMTRACK_PAGE)
        if (!memtrack_readable(at))
            return false;
    return bytes >= 8 && memtrack_readable(last);
}

/* Marks what `filter` (NULL: strict mode) forbids; false where the kernel would not take it. */
static bool study(const struct sock_fprog *filter, uint8_t denied[MEMTRACK_SYSCALLS])
{
    if (filter && (!is_readable(filter, sizeof(*filter)) || !filter->len || filter->len > BPF_MAXINSNS ||
                   !is_readable(filter->filter, filter->len * sizeof(*filter->filter))))
        return false;
    for (size_t i = 0; i < MEMTRACK_CALLS; i++) {
        struct seccomp_data data = {.nr = calls[i].number, .arch = AUDIT_ARCH_X86_64};
        for (int n = 0; n < 6; n++)
            data.args[n] = calls[i].arguments[n];
        uint32_t action = filter ? run(filter->filter, filter->len, &data) & SECCOMP_RET_ACTION_FULL : 0;
        if (action != SECCOMP_RET_ALLOW && action != SECCOMP_RET_LOG)
            denied[calls[i].number] = 1;
    }
    return true;
}

/* Growing the region is about to be forbidden: take some pages while it is not. */
static void reserve_ahead(void)
{
    struct memtrack_header *region = memtrack_rt.region;
    if (!region || memtrack_rt.stopped || MEMTRACK_LOAD(&memtrack_rt.populate_missing))
        return;
    uint64_t first = MEMTRACK_LOAD(&region->used_pages);
    uint64_t end = first + MEMTRACK_AHEAD_PAGES;
    if (end > memtrack_rt.region_pages || end <= memtrack_rt.reserved_pages)
        return;
    if (memtrack_sys3(SYS_madvise, memtrack_region_at((uint32_t)first), (end - first) * MEMTRACK_PAGE,
                      MADV_POPULATE_WRITE) == 0)
        memtrack_rt.reserved_pages = end;
}

/* One more filter denies this call, or one fewer. No lock: a child forked meanwhile would wait for a thread that it does not
 * have. More filters than can be told apart stay. */
static bool change(uint8_t *count, int by)
{
    uint8_t now = MEMTRACK_LOAD(count);
    while (now < UINT8_MAX && !__atomic_compare_exchange_n(count, &now, (uint8_t)(now + by), false, __ATOMIC_RELAXED,
                                                           __ATOMIC_RELAXED))
        ;
    return now == 0;
}

struct memtrack_seal {
    uint8_t denied[MEMTRACK_SYSCALLS]; /* by this filter */
    bool is_news;                      /* some of it has been allowed until now */
};

static void seal(struct memtrack_seal *seal, const struct sock_fprog *filter)
{
    __builtin_memset(seal, 0, sizeof(*seal));
    if (!study(filter, seal->denied))
        return;
    if (seal->denied[SYS_madvise] && !memtrack_denied[SYS_madvise])
        reserve_ahead();
    /* Before the filter: other threads are in hooks meanwhile. */
    for (size_t i = 0; i < MEMTRACK_SYSCALLS; i++)
        if (seal->denied[i] && change(&memtrack_denied[i], 1))
            seal->is_news = true;
}

static void settle(const struct memtrack_seal *seal, bool is_in_place)
{
    for (size_t i = 0; !is_in_place && i < MEMTRACK_SYSCALLS; i++)
        if (seal->denied[i])
            change(&memtrack_denied[i], -1);
    if (is_in_place && seal->is_news && !memtrack_rt.stopped)
        MEMTRACK_HEALTH(confined, 1);
}

static int (*next_prctl)(int, unsigned long, unsigned long, unsigned long, unsigned long);
typedef long memtrack_syscall_function(long, long, long, long, long, long, long);

/* Until dlsym has found the next: libc's own would do the same. */
static long first_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result = number;
    __asm__ volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (!memtrack_sys_failed(result))
        return result;
    errno = (int)-result;
    return -1;
}

memtrack_syscall_function *memtrack_next_syscall __attribute__((visibility("hidden"))) = first_syscall;
memtrack_syscall_function memtrack_watched_syscall __attribute__((visibility("hidden")));

void memtrack_resolve_seccomp(void)
{
    *(void **)&next_prctl = dlsym(RTLD_NEXT, "prctl");
    void *function = dlsym(RTLD_NEXT, "syscall");
    if (function)
        *(void **)&memtrack_next_syscall = function;
}

static int pass_on_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return next_prctl ? next_prctl(option, a, b, c, d)
                      : (int)first_syscall(SYS_prctl, option, (long)a, (long)b, (long)c, (long)d, 0);
}

/* An allocator of the program's own names its memory with prctl, in the middle of its start: that one is passed on as it is,
 * since a look for a function that is not there allocates. */
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
MEMTRACK_EXPORT int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    if (MEMTRACK_LIKELY(option != MEMTRACK_PR_SET_SECCOMP || (a != SECCOMP_MODE_FILTER && a != SECCOMP_MODE_STRICT)))
        return pass_on_prctl(option, a, b, c, d);
    memtrack_resolve();
    struct memtrack_seal state;
    seal(&state, a == SECCOMP_MODE_FILTER ? (const struct sock_fprog *)b : NULL);
    int result = pass_on_prctl(option, a, b, c, d);
    settle(&state, result == 0);
    return result;
}

/* seccomp(2) has no function of its own in libc. */
long memtrack_watched_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_prctl)
        return prctl((int)a, (unsigned long)b, (unsigned long)c, (unsigned long)d, (unsigned long)e);
    memtrack_resolve();
    bool is_filter = a == SECCOMP_SET_MODE_FILTER || a == SECCOMP_SET_MODE_STRICT;
    struct memtrack_seal state;
    if (is_filter)
        seal(&state, a == SECCOMP_SET_MODE_FILTER ? (const struct sock_fprog *)c : NULL);
    long result = memtrack_next_syscall(number, a, b, c, d, e, f);
    /* With SECCOMP_FILTER_FLAG_TSYNC a positive result is the thread that stood in the way. */
    if (is_filter)
        settle(&state, result == 0 || (result > 0 && b & SECCOMP_FILTER_FLAG_NEW_LISTENER));
    return result;
}

/* All other calls go on by a jump: a child made by clone returns on a stack of its own, and futexes are in a hurry. */
__asm__(".pushsection .text\n"
        ".globl syscall\n"
        ".type syscall, @function\n"
        "syscall:\n"
        "    .cfi_startproc\n"
        "    cmpq $317, %rdi\n" /* SYS_seccomp */
        "    je memtrack_watched_syscall\n"
        "    cmpq $157, %rdi\n" /* SYS_prctl */
        "    je memtrack_watched_syscall\n"
        "    cmpq $57, %rdi\n" /* SYS_fork */
        "    je memtrack_forking_syscall\n"
        "    cmpq $56, %rdi\n" /* SYS_clone, on the same stack and with a copy of the memory, that is as fork does it */
        "    jne 1f\n"
        "    testq %rdx, %rdx\n"
        "    jne 1f\n"
        "    testq $0x100, %rsi\n" /* CLONE_VM */
        "    je memtrack_forking_syscall\n"
        "1:  jmp *memtrack_next_syscall(%rip)\n"
        "    .cfi_endproc\n"
        ".size syscall, . - syscall\n"
        ".popsection\n");
_Static_assert(SYS_seccomp == 317 && SYS_prctl == 157 && SYS_fork == 57 && SYS_clone == 56, "numbers in syscall above");
