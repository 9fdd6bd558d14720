/* SPDX-License-Identifier: Apache-2.0
 *
 * Handlers that allocate on an alternate signal stack which is hardly larger than what the kernel puts on it.
 *
 * `small_stack WHERE BYTES [disarm]`: WHERE is mapped (a mapping of its own) or own (a part of the thread's own stack); BYTES
 * are added to what the kernel itself needs; disarm: the kernel forgets the stack while a handler runs on it. Prints how many of them were used, at least; 1 where what lies below was written to.
 */
#define _GNU_SOURCE
#include "signal_frame.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")
#define BELOW 8192
#define PAINT 0x5a
#define ROUNDS 50

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static size_t made;
static uintptr_t entered;

SITE static void *make(size_t size)
{
    void *block = malloc(size);
    KEEP(block);
    made++;
    return block;
}

static void handle(int signal)
{
    (void)signal;
    entered = (uintptr_t)__builtin_frame_address(0);
    void *block = make(77);
    block = realloc(block, 78);
    KEEP(block);
    free(block);
}

/* Signals come in different places of the program, so that none is like the last. */
SITE static void signal_at(int depth)
{
    if (depth > 0)
        signal_at(depth - 1);
    else
        raise(SIGUSR1);
    KEEP(&depth);
}

static int run(char *low, size_t size, int flags)
{
    memset(low, PAINT, BELOW + size);
    stack_t alternate = {.ss_sp = low + BELOW, .ss_size = size, .ss_flags = flags}, none = {.ss_flags = SS_DISABLE};
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&alternate, NULL) || sigaction(SIGUSR1, &action, NULL))
        return 77;
    free(realloc(make(77), 78)); /* the allocator has what it needs, and the loader has bound the names */
    for (int i = 0; i < ROUNDS; i++)
        signal_at(i % 20);
    sigaltstack(&none, NULL);
    size_t untouched = 0;
    while (untouched < BELOW + size && low[untouched] == PAINT)
        untouched++;
    printf("%zu\n", (size_t)(entered - (uintptr_t)(low + untouched)));
    return untouched < BELOW || made != ROUNDS + 1;
}

SITE static int run_on_own(size_t size, int flags)
{
    char low[BELOW + size];
    return run(low, size, flags);
}

int main(int count, char **arguments)
{
    if (count < 3)
        return 64;
    size_t kernels = signal_frame_bytes();
    size_t size = (kernels + (size_t)atoi(arguments[2]) + 15) & ~(size_t)15;
    int flags = count > 3 && strcmp(arguments[3], "disarm") == 0 ? (int)SS_AUTODISARM : 0;
    if (strcmp(arguments[1], "own") == 0)
        return run_on_own(size, flags);
    char *low = mmap(NULL, BELOW + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return low == MAP_FAILED ? 77 : run(low, size, flags);
}
