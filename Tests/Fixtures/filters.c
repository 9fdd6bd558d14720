/* SPDX-License-Identifier: Apache-2.0
 *
 * Filters of system calls that are not put in place, while others are.
 * `filters fork`: one thread has filters refused all the time; children forked meanwhile put in their own.
 * `filters together`: a filter for all threads, of which one stands in the way.
 * `filters back`: a filter that jumps to where it is, which the kernel refuses.
 * 77 where the kernel has no seccomp; 1 where a child does not get on, or something was put in place.
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_FILTER 4000
#define CHILDREN 300

static struct sock_filter no_madvise[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static void *have_refused(void *end)
{
    static struct sock_filter program[LONG_FILTER]; /* without a return */
    for (int i = 0; i < LONG_FILTER; i++)
        program[i] = no_madvise[0];
    struct sock_fprog filter = {LONG_FILTER, program};
    while (!*(volatile int *)end)
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0)
            _exit(1);
    return NULL;
}

static int with_children(void)
{
    int end = 0, bad = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, have_refused, &end);
    for (int i = 0; i < CHILDREN && !bad; i++) {
        pid_t child = fork();
        if (child == 0) {
            struct sock_fprog filter = {1, nothing};
            alarm(20); /* it would wait without end */
            free(malloc(10));
            _exit(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) ? 2 : 0);
        }
        waitpid(child, &bad, 0);
    }
    end = 1;
    pthread_join(thread, NULL);
    return bad != 0;
}

static pthread_barrier_t ready, done;

static void *stand_in_the_way(void *unused)
{
    struct sock_fprog filter = {1, nothing};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        _exit(77);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&done);
    return unused;
}

static int together(void)
{
    pthread_t thread;
    pthread_barrier_init(&ready, NULL, 2);
    pthread_barrier_init(&done, NULL, 2);
    pthread_create(&thread, NULL, stand_in_the_way, NULL);
    pthread_barrier_wait(&ready);
    struct sock_fprog filter = {sizeof(no_madvise) / sizeof(no_madvise[0]), no_madvise};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    pthread_barrier_wait(&done);
    pthread_join(thread, NULL);
    return result <= 0;
}

static int back(void)
{
    struct sock_filter program[] = {BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX), nothing[0]};
    struct sock_fprog filter = {2, program};
    alarm(20);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 ||
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

int main(int count, char **arguments)
{
    free(malloc(10));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 77;
    if (count > 1 && strcmp(arguments[1], "back") == 0)
        return back();
    return count > 1 && strcmp(arguments[1], "together") == 0 ? together() : with_children();
}
