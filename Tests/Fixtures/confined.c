/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that forbids itself system calls, on pain of death, and goes on allocating.
 * `confined HOW [SYSCALL...]`: HOW is prctl, syscall, strict (all but read, write, exit) or errno (refuses, kills not).
 * 77 where the kernel has no seccomp.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

/* The bits of `path` choose which of two call sites each level goes through. */
SITE static void *descend(int depth, unsigned path, size_t size)
{
    void *block;
    if (depth == 0) {
        block = malloc(size);
    } else if (path & 1) {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# odd");
    } else {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# even");
    }
    KEEP(block);
    return block;
}

static int numbered(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"madvise", SYS_madvise}, {"gettid", SYS_gettid},   {"tgkill", SYS_tgkill},
                 {"rt_sigprocmask", SYS_rt_sigprocmask}, {"getpid", SYS_getpid}, {"fallocate", SYS_fallocate},
                 {"process_vm_readv", SYS_process_vm_readv}, {"sigaltstack", SYS_sigaltstack}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    _exit(64);
}

static int confine(const char *how, char **names, int count)
{
    struct sock_filter program[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    unsigned short length = 1;
    unsigned action = strcmp(how, "errno") == 0 ? SECCOMP_RET_ERRNO | 1 : SECCOMP_RET_KILL_PROCESS;
    for (int i = 0; i < count; i++) {
        program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbered(names[i]), 0, 1);
        program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {length, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 77;
    if (strcmp(how, "syscall") == 0)
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) ? 77 : 0;
    if (strcmp(how, "strict") == 0)
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) ? 77 : 0;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) ? 77 : 0;
}

int main(int count, char **arguments)
{
    /* Room in the heap, so that the allocator itself has nothing to ask for. */
    void *room = malloc(120000);
    KEEP(room);
    void *end = malloc(1);
    KEEP(end);
    free(room);
    for (int i = 0; i < 100; i++)
        free(descend(3, (unsigned)i, 16));
    int refused = confine(count > 1 ? arguments[1] : "prctl", arguments + 2, count - 2);
    if (refused)
        return refused;
    int bad = 0;
    for (int i = 0; i < 20000; i++) {
        void *block = descend(12, (unsigned)i, (size_t)1 << (i % 12));
        bad |= !block;
        free(block);
    }
    syscall(SYS_exit, bad);
    return 1;
}
