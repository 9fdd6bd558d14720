/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers that allocate while the interrupted code may be anywhere in a hook. To be run on interruptible.c.
 * `signals MODE`; prints how many allocations it made, by whom.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

static uint64_t by_handler, by_main;
static volatile sig_atomic_t handled;

SITE static void *make(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE static void *deeper(int depth, size_t size)
{
    void *block = depth ? deeper(depth - 1, size) : make(size);
    KEEP(block);
    return block;
}

static void allocate(int signal)
{
    (void)signal;
    handled = handled + 1;
    for (int i = 0; i < 4; i++) {
        void *block = make(33);
        by_handler++;
        free(i % 2 ? realloc(block, 44) : block);
        by_handler += (uint64_t)(i % 2);
    }
}

static void repeat(int every_microseconds)
{
    struct itimerval interval = {{0, every_microseconds}, {0, every_microseconds}};
    setitimer(ITIMER_REAL, &interval, NULL);
}

static void once(int after_microseconds)
{
    struct itimerval interval = {{0, 0}, {0, after_microseconds}};
    setitimer(ITIMER_REAL, &interval, NULL);
}

/* Blocks of one thread are written and checked, so that a hook that lost its way would be seen. */
static int storm(int flags)
{
    struct sigaction action = {.sa_handler = allocate, .sa_flags = SA_RESTART | flags};
    sigaction(SIGALRM, &action, NULL);
    repeat(150);
    uint32_t *ring[128] = {0};
    int bad = 0;
    for (uint32_t i = 0; handled < 3000; i++) {
        uint32_t **place = &ring[(i * 13) % 128];
        if (*place && **place >= i)
            bad = 1;
        free(*place);
        *place = deeper((int)(i % 24), 8 + i % 600);
        **place = i;
        by_main++;
    }
    repeat(0);
    for (int i = 0; i < 128; i++)
        free(ring[i]);
    return bad;
}

/* The same with handlers on an alternate stack that is a part of the thread's own. */
static int storm_on_stack(void)
{
    char room[65536];
    stack_t alternate = {.ss_sp = room, .ss_size = sizeof(room)}, none = {.ss_flags = SS_DISABLE};
    sigaltstack(&alternate, NULL);
    int bad = storm(SA_ONSTACK);
    sigaltstack(&none, NULL);
    return bad;
}

static sigjmp_buf back;
static volatile sig_atomic_t jumping;

static void jump(int signal)
{
    (void)signal;
    handled = handled + 1;
    free(make(21));
    if (jumping)
        siglongjmp(back, 1);
}

SITE static void *make_after(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    return block;
}

SITE static void *make_deep(int depth)
{
    char room[256];
    KEEP(room);
    void *block = depth ? make_deep(depth - 1) : malloc(4000);
    KEEP(block);
    return block;
}

/* Handlers leave hooks behind that never return. What is allocated afterwards has its stack again. */
static int jumps(void)
{
    struct sigaction action = {.sa_handler = jump, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    while (handled < 3000) {
        if (sigsetjmp(back, 1) == 0) {
            jumping = 1;
            once(20 + handled % 60); /* not again before the jump is done: handlers would pile up */
            for (;;)
                for (int i = 0; i < 1000; i++)
                    free(deeper((i + handled) % 20, (size_t)i));
        }
        jumping = 0;
    }
    /* Left in a call from here, then called from deeper down, where a handler's calls would come from. */
    for (volatile int round = 0; round < 200; round = round + 1) {
        if (sigsetjmp(back, 1) == 0) {
            jumping = 1;
            once(20 + round % 60);
            for (;;) {
                void *block = malloc(20);
                KEEP(block);
                free(block);
            }
        }
        jumping = 0;
        for (int i = 0; i < 10; i++)
            free(make_deep(12));
    }
    for (int i = 0; i < 10000; i++) {
        void *block = make_after(10);
        if (!block)
            return 1;
        if (i >= 1000)
            free(block);
    }
    return 0;
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    int result = 64;
    if (count > 1 && strcmp(arguments[1], "storm") == 0)
        result = storm(0);
    else if (count > 1 && strcmp(arguments[1], "alternate") == 0)
        result = storm_on_stack();
    else if (count > 1 && strcmp(arguments[1], "jumps") == 0)
        result = jumps();
    char text[80];
    int length = snprintf(text, sizeof(text), "%llu %llu\n", (unsigned long long)by_main,
                          (unsigned long long)by_handler);
    return write(1, text, (size_t)length) == length ? result : 1;
}
