/* SPDX-License-Identifier: Apache-2.0
 *
 * The one seam to the kernel. Raw system calls: they change no errno, cannot be interposed by
 * the target and enter neither the loader nor any lock. Each returns the kernel's value: a result, or
 * -errno.
 */
#ifndef MEMTRACK_SYS_H
#define MEMTRACK_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define MEMTRACK_LIKELY(x) __builtin_expect(!!(x), 1)
#define MEMTRACK_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Out of line, and with a stack aligned by itself: hand-written and generated code that calls malloc on a misaligned
 * stack gets away with it under most allocators, and what follows uses aligned vector stores. */
#define MEMTRACK_COLD __attribute__((cold, noinline, force_align_arg_pointer))
/* The same for what is called often enough to be worth its place in the cache. */
#define MEMTRACK_LONG __attribute__((noinline, force_align_arg_pointer))
/* Tables of which most programs touch little stand behind all other variables (the Makefile sorts sections by name), so that
 * those share pages. */
#define MEMTRACK_LARGE __attribute__((section(".bss.large")))
#define MEMTRACK_INLINE static inline __attribute__((always_inline))

#if !defined(__x86_64__)
#error "the shim is written for x86-64 so far: port sys.h, unwind_*.c and the frame macro of hooks.h"
#endif

/* How many seccomp filters of the program forbid a system call, by number: it is not made. See seccomp.c. */
#define MEMTRACK_SYSCALLS 512
extern uint8_t memtrack_denied[MEMTRACK_SYSCALLS] __attribute__((visibility("hidden")));

static inline long memtrack_sys6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    if (MEMTRACK_UNLIKELY(memtrack_denied[number]))
        return -38; /* ENOSYS */
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#define memtrack_sys3(n, a, b, c) memtrack_sys6((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define memtrack_sys4(n, a, b, c, d) memtrack_sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static inline bool memtrack_sys_failed(long result)
{
    return (unsigned long)result > -4096ul;
}

/* Private anonymous memory, zeroed, kept out of core dumps and of huge pages, listed in the region.
 * NULL where the kernel refuses. A forked child has a copy of the one kind, and starts without the other. In private.c. */
void *memtrack_map_private(size_t bytes);
void *memtrack_map_scratch(size_t bytes);
void memtrack_unmap_private(void *start, size_t bytes); /* of both */
/* All of it is going to be touched, in no order, and read first: one call instead of two faults a page, each of which costs
 * what the page does. Where it is refused, faults do it. */
void memtrack_private_populate(void *start, size_t bytes);
#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* True if the eight bytes at `address` can be read, asked of the kernel without touching them:
 * rt_sigprocmask copies the set before it rejects the operation. Where the call is refused, nothing is known: false. About 100 ns. The idea is
 * abseil's (debugging/internal/address_is_readable). */
static inline bool memtrack_readable(uintptr_t address)
{
    return memtrack_sys4(SYS_rt_sigprocmask, ~0, address, 0, 8) == -22 /* EINVAL; else EFAULT */;
}

uint64_t memtrack_clock_ns(clockid_t clock); /* symbol.c: no lock, no errno, and nobody's in between */

#define MEMTRACK_LOAD(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define MEMTRACK_STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define MEMTRACK_LOAD_ACQUIRE(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define MEMTRACK_STORE_RELEASE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define MEMTRACK_ADD(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)

/* Adds to a 64-bit word that this thread alone writes and others read: one instruction, which a signal handler cannot
 * split, and no lock prefix. In program order with other such additions (TSO). */
#define MEMTRACK_BUMP(p, v) __asm__ volatile("addq %1, %0" : "+m"(*(p)) : "er"((uint64_t)(v)) : "cc")

/* Keeps the compiler from moving memory accesses across: order against our own signal handlers. */
#define MEMTRACK_SIGNAL_FENCE() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif
