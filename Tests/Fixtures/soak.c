/* SPDX-License-Identifier: Apache-2.0
 *
 * `soak SECONDS LIBRARY...`: for so long, threads that allocate at random and free each other's blocks, threads that
 * come and go, libraries that are loaded, asked for a block and unloaded, forks, and a timer whose handler allocates.
 * Keeps a ledger of its own calls and prints it at the end: allocations, their bytes, frees, their bytes, the blocks
 * of the libraries, the blocks of the handler.
 *
 * The ledger's calls are those in the functions owned_*, each of which is a site. A block starts with its size. The
 * handler runs on the main thread alone, and only while that waits.
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")
#define SLOTS 5000
#define LOCKS 64

enum { ALLOCATIONS, ALLOCATED_BYTES, FREES, FREED_BYTES, LIBRARIES, HANDLED, FIGURES };
static uint64_t ledger[FIGURES];
static size_t *slot[SLOTS];
static pthread_mutex_t lock[LOCKS];
static volatile int stop;
static int libraries;
static char **library;

static void note(int figure, uint64_t amount)
{
    __atomic_fetch_add(&ledger[figure], amount, __ATOMIC_RELAXED);
}

static size_t *note_block(size_t *block, size_t size)
{
    if (!block)
        abort();
    *block = size;
    note(ALLOCATIONS, 1);
    note(ALLOCATED_BYTES, size);
    return block;
}

static void note_free(size_t size)
{
    note(FREES, 1);
    note(FREED_BYTES, size);
}

SITE static size_t *owned_malloc(int depth, size_t size)
{
    char *room = alloca(16 + (size & 127));
    room[0] = (char)depth;
    size_t *block = depth ? owned_malloc(depth - 1, size) : note_block(malloc(size), size);
    KEEP(room);
    return block;
}

SITE static size_t *owned_calloc(size_t count, size_t size)
{
    return note_block(calloc(count, size), count * size);
}

SITE static size_t *owned_memalign(size_t alignment, size_t size)
{
    return note_block(memalign(alignment, size), size);
}

SITE static size_t *owned_realloc(size_t *block, size_t size)
{
    note_free(*block);
    return note_block(realloc(block, size), size);
}

static void drop(size_t *block)
{
    if (!block)
        return;
    note_free(*block);
    free(block);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t *exchange(int index, size_t *block)
{
    pthread_mutex_lock(&lock[index % LOCKS]);
    size_t *old = slot[index];
    slot[index] = block;
    pthread_mutex_unlock(&lock[index % LOCKS]);
    return old;
}

static void work(uint64_t *state)
{
    int index = (int)(next_random(state) % SLOTS);
    size_t *block = exchange(index, NULL);
    uint64_t random = next_random(state);
    if (block && random % 5) {
        drop(block);
        return;
    }
    if (block)
        block = owned_realloc(block, 8 + random % 3000);
    else if (random % 7 == 0)
        block = owned_calloc(1 + random % 5, 8 + (random >> 8) % 700);
    else if (random % 11 == 0)
        block = owned_memalign((size_t)64 << (random % 4), 8 + (random >> 8) % 5000);
    else
        block = owned_malloc((int)(random % 30), 8 + (random >> 5) % (random % 50 ? 500 : 300000));
    drop(exchange(index, block));
}

static void *worker(void *number)
{
    uint64_t state = (uint64_t)(uintptr_t)number * 7919 + 12345;
    while (!stop)
        work(&state);
    return NULL;
}

static void *brief(void *number)
{
    uint64_t state = (uint64_t)(uintptr_t)number * 104729 + 1;
    for (int i = 0; i < 50; i++)
        work(&state);
    return NULL;
}

/* Threads come and go. */
static void *starter(void *unused)
{
    (void)unused;
    for (uintptr_t i = 1; !stop; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, brief, (void *)i) == 0)
            pthread_join(thread, NULL);
        usleep(500);
    }
    return NULL;
}

/* Libraries come and go. */
static void *loader(void *unused)
{
    (void)unused;
    for (int i = 0; !stop; i = (i + 1) % libraries) {
        void *handle = dlopen(library[i], RTLD_NOW | RTLD_LOCAL);
        void *(*make)(size_t) = NULL;
        if (handle)
            *(void **)&make = dlsym(handle, "plugin_make");
        if (!make)
            abort();
        free(make(60));
        note(LIBRARIES, 1);
        dlclose(handle);
        usleep(300);
    }
    return NULL;
}

SITE static void *handled_malloc(void)
{
    void *block = malloc(33);
    KEEP(block);
    return block;
}

static void on_alarm(int number)
{
    (void)number;
    free(handled_malloc());
    ledger[HANDLED]++;
}

/* Frees blocks of its parent's, makes its own, forks once more. What it notes stays in its own memory. */
static void child(size_t **block)
{
    for (int i = 0; i < 100; i++)
        drop(block[i]);
    for (int i = 0; i < 50; i++)
        drop(owned_malloc(i % 5, (size_t)(100 + i)));
    pid_t grandchild = fork();
    if (grandchild == 0) {
        drop(owned_malloc(1, 9));
        _exit(0);
    }
    int status = 1;
    waitpid(grandchild, &status, 0);
    _exit(status == 0 ? 7 : 8);
}

static int one_fork(const sigset_t *handled)
{
    size_t *block[100];
    for (int i = 0; i < 100; i++)
        block[i] = owned_malloc(i % 20, (size_t)i + 8);
    pid_t pid = fork();
    if (pid == 0)
        child(block);
    int status = 0;
    pthread_sigmask(SIG_UNBLOCK, handled, NULL);
    while (waitpid(pid, &status, 0) < 0)
        ;
    pthread_sigmask(SIG_BLOCK, handled, NULL);
    for (int i = 0; i < 100; i++)
        drop(block[i]);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 64;
    int seconds = atoi(arguments[1]);
    library = arguments + 2;
    libraries = count - 2;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&lock[i], NULL);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &handled, NULL);

    pthread_t thread[6];
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, worker, (void *)(uintptr_t)(i + 1));
    pthread_create(&thread[4], NULL, starter, NULL);
    pthread_create(&thread[5], NULL, loader, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec often = {{0, 200000}, {0, 200000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &often, NULL);

    /* A region a fork: 200 of them, however long it takes. */
    int bad = 0;
    time_t end = time(NULL) + seconds;
    while (time(NULL) < end) {
        bad += one_fork(&handled);
        usleep((useconds_t)seconds * 10000);
    }
    stop = 1;
    for (int i = 0; i < 6; i++)
        pthread_join(thread[i], NULL);
    timer_delete(timer);
    for (int i = 0; i < SLOTS; i += 2) /* the rest is still there at the end */
        drop(slot[i]);
    for (int i = 0; i < FIGURES; i++)
        printf("%llu\n", (unsigned long long)ledger[i]);
    return bad != 0;
}
