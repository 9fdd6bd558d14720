/* SPDX-License-Identifier: Apache-2.0
 *
 * Ways to get a second process, and what each allocates on both sides. `fork MODE`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

extern char **environ;

SITE static void *make(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

static int wait_for(pid_t pid, int expected)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return !(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

/* The child frees 200 of the parent's 300 blocks of 100 bytes, moves one with realloc, and makes 50 of 64 of which it
 * frees 20. The parent frees 100. */
static int inherit(void)
{
    void *block[300];
    for (int i = 0; i < 300; i++)
        block[i] = make(100);
    pid_t pid = fork();
    if (pid == 0) {
        void *own[50];
        for (int i = 0; i < 200; i++)
            free(block[i]);
        block[200] = realloc(block[200], 5000);
        for (int i = 0; i < 50; i++)
            own[i] = make(64);
        for (int i = 0; i < 20; i++)
            free(own[i]);
        _exit(block[200] ? 7 : 1);
    }
    int bad = wait_for(pid, 7);
    for (int i = 0; i < 100; i++)
        free(block[i]);
    return bad;
}

/* Four generations; each makes 10 blocks of its own size and frees one of each generation before it. */
static int generations(void)
{
    void *block[4][10];
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < 10; i++)
            block[n][i] = make((size_t)(100 * (n + 1)));
        for (int before = 0; before < n; before++)
            free(block[before][n]);
        if (n == 3)
            return 0;
        pid_t pid = fork();
        if (pid != 0)
            return wait_for(pid, 0);
    }
    return 0;
}

static void *make_50(void *unused)
{
    (void)unused;
    return make(50);
}

static volatile int stop;

static void *busy(void *unused)
{
    (void)unused;
    void *ring[64] = {0};
    for (unsigned i = 0; !stop; i++) {
        free(ring[i % 64]);
        ring[i % 64] = make(16 + i % 700);
    }
    for (int i = 0; i < 64; i++)
        free(ring[i]);
    return NULL;
}

/* Threads are inside hooks at the moment of the fork, and do not exist in the child. */
static int among_threads(void)
{
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, busy, NULL);
    int bad = 0;
    for (int round = 0; round < 150; round++) {
        void *block = make(99);
        pid_t pid = fork();
        if (pid == 0) {
            free(block);
            for (int i = 0; i < 100; i++)
                free(make(40));
            pthread_t other; /* the child may have threads too */
            if (round % 10 == 0 && pthread_create(&other, NULL, make_50, NULL) == 0)
                pthread_join(other, NULL);
            _exit(9);
        }
        bad |= wait_for(pid, 9);
        free(block);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    return bad;
}

/* A vfork child runs in its parent's memory: what it allocates there is the parent's, 5 blocks of 111. */
static int with_vfork(void)
{
    volatile int bad = 0;
    void *block[5];
    for (int i = 0; i < 5; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            block[i] = make(111);
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        bad = bad | wait_for(pid, 0);
        KEEP(block[i]);
    }
    pid_t pid;
    char *arguments[] = {"true", NULL};
    bad = bad | (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0) || wait_for(pid, 0);
    bad = bad | (system("exit 3") != 3 << 8);
    free(make(112));
    return bad;
}

/* clone without libc's knowledge: no atfork handler runs. */
static int raw_clone(void)
{
    void *block = make(300);
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        free(block);
        for (int i = 0; i < 10; i++)
            free(make(301));
        _exit(4);
    }
    int bad = wait_for((pid_t)pid, 4);
    free(block);
    return bad;
}

/* Replaces itself `left` times, each time after making as many blocks of 80. */
static int chain(const char *self, int left)
{
    for (int i = 0; i < left; i++)
        make(80);
    if (left == 0)
        return 0;
    char number[16];
    snprintf(number, sizeof(number), "%d", left - 1);
    execl(self, self, "chain", number, (char *)NULL);
    return 1;
}

static volatile sig_atomic_t forks, returned;
#define FORKS 300
static pid_t child[FORKS];

static int quietly; /* the child allocates nothing before it is back in the hook */
static int bare;    /* it is made by an instruction of its own, which nobody can see */
static int missing; /* every hook sees another stack */

static long raw_fork(void)
{
    long result = SYS_fork;
    __asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
    return result;
}

/* The bits of `path` choose which of two call sites each level goes through. */
SITE static void *descend(int depth, unsigned path, size_t size)
{
    void *block;
    if (depth == 0) {
        block = make(size);
    } else if (path & 1) {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# odd"); /* else the compiler makes one call of the two */
    } else {
        block = descend(depth - 1, path >> 1, size);
        __asm__ volatile("# even");
    }
    KEEP(block);
    return block;
}

static void fork_in_handler(int signal)
{
    (void)signal;
    int saved = errno;
    if (forks < FORKS) {
        /* fork may take locks of libc that are held */
        pid_t pid = (pid_t)(bare ? raw_fork() : syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
        if (pid == 0) {
            for (int i = 0; i < 20 && !quietly; i++)
                free(make(500));
            if (forks % 2 == 0 && !quietly)
                _exit(5);
            returned = 1; /* into the hook that was interrupted, which now is in another process */
            return;
        }
        child[forks++] = pid;
    }
    errno = saved;
}

/* To be run on an allocator that may be interrupted: the handler forks in the middle of hooks. */
static int in_handler(void)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    unsigned path = 0;
    while (forks < FORKS)
        for (int i = 0; i < 100; i++) {
            free(missing ? descend(18, path++, (size_t)(32 + i % 90)) : make((size_t)(32 + i % 90)));
            if (returned) {
                for (int n = 0; n < 1000; n++)
                    free(make((size_t)(1000 + n)));
                _exit(5);
            }
        }
    setitimer(ITIMER_REAL, &never, NULL);
    int bad = 0;
    for (int i = 0; i < FORKS; i++)
        bad |= wait_for(child[i], 5);
    return bad;
}

static volatile int instruction, fork_at, wrong_end;

static void fork_at_instruction(int signal, siginfo_t *info, void *context)
{
    (void)info;
    if (instruction++ != fork_at)
        return;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100; /* no step more */
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        free(make((size_t)(500 + signal)));
        returned = 1;
    } else {
        wrong_end |= wait_for(pid, 5);
    }
}

/* The same at each instruction of a malloc and a free, one after the other. */
static int at_each_instruction(void)
{
    struct sigaction action = {.sa_sigaction = fork_at_instruction, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    for (int i = 0; i < 100; i++)
        free(make(24));
    do {
        instruction = 0;
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
        free(make(24));
        __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
        if (returned) {
            for (int n = 0; n < 10; n++)
                free(make((size_t)(1000 + n)));
            _exit(5);
        }
    } while (instruction > fork_at++);
    return wrong_end;
}

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    if (strcmp(mode, "inherit") == 0)
        return inherit();
    if (strcmp(mode, "generations") == 0)
        return generations();
    if (strcmp(mode, "threads") == 0)
        return among_threads();
    if (strcmp(mode, "vfork") == 0)
        return with_vfork();
    if (strcmp(mode, "clone") == 0)
        return raw_clone();
    if (strcmp(mode, "chain") == 0)
        return chain(arguments[0], count > 2 ? atoi(arguments[2]) : 5);
    if (strcmp(mode, "handler") == 0)
        return in_handler();
    if (strcmp(mode, "each-instruction") == 0)
        return at_each_instruction();
    if (strcmp(mode, "quiet-handler") == 0) {
        quietly = 1;
        return in_handler();
    }
    if (strcmp(mode, "missing-handler") == 0) {
        missing = 1;
        return in_handler();
    }
    if (strcmp(mode, "bare-handler") == 0) {
        bare = missing = 1;
        return in_handler();
    }
    return 64;
}
