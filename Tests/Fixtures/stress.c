/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything at once: threads that allocate and free each other's blocks, threads that come and go, a timer whose
 * handler allocates, jumps out of handlers, a coroutine, and forks whose children free, allocate, fork and exec.
 * The handlers run on the main thread alone and ask for sizes that its cache of small blocks has.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")
#define SLOTS 20000
#define LOCKS 64

static void *slot[SLOTS];
static pthread_mutex_t lock[LOCKS];
static volatile int stop;

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

SITE static void *deeper(int depth, size_t size)
{
    char *room = alloca(16 + (size & 127));
    room[0] = (char)depth;
    void *block = depth ? deeper(depth - 1, size) : malloc(size);
    KEEP(room);
    return block;
}

static void *exchange(int index, void *block)
{
    pthread_mutex_lock(&lock[index % LOCKS]);
    void *old = slot[index];
    slot[index] = block;
    pthread_mutex_unlock(&lock[index % LOCKS]);
    return old;
}

static void *worker(void *number)
{
    uint64_t state = (uint64_t)(uintptr_t)number * 7919 + 12345;
    for (int i = 0; i < 300000 && !stop; i++) {
        int index = (int)(next_random(&state) % SLOTS);
        void *block = exchange(index, NULL);
        uint64_t random = next_random(&state);
        if (block && random % 5) {
            free(block);
            continue;
        }
        if (block)
            block = realloc(block, 1 + random % 3000);
        else if (random % 7 == 0)
            block = calloc(1 + random % 5, 1 + (random >> 8) % 700);
        else if (random % 11 == 0)
            block = memalign((size_t)64 << (random % 4), 1 + (random >> 8) % 5000);
        else
            block = deeper((int)(random % 30), (random >> 5) % (random % 50 ? 500 : 300000));
        free(exchange(index, block));
    }
    return NULL;
}

static void *brief(void *unused)
{
    (void)unused;
    free(malloc(100));
    void *leaked = malloc(10);
    KEEP(leaked);
    return NULL;
}

static void *starter(void *unused)
{
    (void)unused;
    for (int i = 0; i < 1000 && !stop; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, brief, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* The main thread lets handlers run only where its allocator is not at work. */
static volatile sig_atomic_t alarms;
static void on_alarm(int signal)
{
    (void)signal;
    alarms = alarms + 1;
    free(malloc(33));
}

static sigjmp_buf back;
static volatile sig_atomic_t may_jump;
static void on_user(int signal)
{
    (void)signal;
    free(malloc(5));
    if (may_jump) {
        may_jump = 0;
        siglongjmp(back, 1);
    }
}

static ucontext_t coroutine_context, main_context;
static void coroutine(void)
{
    for (int i = 0; i < 200; i++) {
        free(deeper(5, (size_t)i));
        swapcontext(&coroutine_context, &main_context);
    }
}

static void child(void **block, int round)
{
    void *own[50];
    for (int i = 0; i < 200; i++)
        free(block[i]);
    for (int i = 0; i < 50; i++)
        own[i] = malloc((size_t)(100 + i));
    for (int i = 0; i < 50; i++)
        free(own[i]);
    if (round % 3 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            free(malloc(9));
            _exit(0);
        }
        waitpid(grandchild, NULL, 0);
    }
    if (round % 10 == 0)
        execl("/bin/true", "true", (char *)NULL);
    _exit(7);
}

static int one_round(int round, const sigset_t *handled)
{
    void *block[200];
    swapcontext(&main_context, &coroutine_context);
    for (int i = 0; i < 200; i++)
        block[i] = deeper(i % 20, (size_t)i);
    pid_t pid = fork();
    if (pid == 0)
        child(block, round);
    int status;
    pthread_sigmask(SIG_UNBLOCK, handled, NULL);
    while (waitpid(pid, &status, 0) < 0)
        ;
    if (sigsetjmp(back, 1) == 0) {
        may_jump = 1;
        raise(SIGUSR1);
    }
    pthread_sigmask(SIG_BLOCK, handled, NULL);
    for (int i = 0; i < 200; i++)
        free(block[i]);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == (round % 10 ? 7 : 0));
}

int main(void)
{
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&lock[i], NULL);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = on_user;
    sigaction(SIGUSR1, &action, NULL);
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGALRM);
    sigaddset(&handled, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &handled, NULL);

    pthread_t thread[5];
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)(i + 1));
    pthread_create(&thread[4], NULL, starter, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec often = {{0, 200000}, {0, 200000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &often, NULL);

    char *stack = malloc(65536);
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = 65536;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, coroutine, 0);

    int bad = 0;
    for (int round = 0; round < 100; round++)
        bad += one_round(round, &handled);
    stop = 1;
    for (int i = 0; i < 5; i++)
        pthread_join(thread[i], NULL);
    timer_delete(timer);
    for (int i = 0; i < SLOTS; i++)
        free(slot[i]);
    printf("%d children went wrong, %d alarms\n", bad, (int)alarms);
    return bad != 0 || alarms == 0;
}
