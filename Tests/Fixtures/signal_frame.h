/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of a signal stack the kernel takes for itself. AT_MINSIGSTKSZ is what it may take at most: with AMX that is 8 KB more
 * than it does in a program that makes no use of it.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

static uintptr_t signal_frame_at;

static void signal_frame_entered(int signal)
{
    (void)signal;
    signal_frame_at = (uintptr_t)__builtin_frame_address(0);
}

/* 0 where there are no such stacks. */
static size_t signal_frame_bytes(void)
{
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)}, none = {.ss_flags = SS_DISABLE};
    struct sigaction action = {.sa_handler = signal_frame_entered, .sa_flags = SA_ONSTACK}, before;
    if (sigaltstack(&alternate, NULL) || sigaction(SIGUSR2, &action, &before))
        return 0;
    raise(SIGUSR2);
    sigaction(SIGUSR2, &before, NULL);
    sigaltstack(&none, NULL);
    return (size_t)((uintptr_t)stack + sizeof(stack) - signal_frame_at) + 64; /* the kernel aligns to so much */
}
