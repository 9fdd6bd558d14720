/* SPDX-License-Identifier: Apache-2.0
 *
 * Is the hook that a thread is BUSY with still running? A signal handler may have interrupted it and left by longjmp:
 * then it never comes back, and all that follows would count as re-entrant.
 *
 * A running hook lies further out on the stack than whatever calls us now, its mark is what it was, and between it
 * and us stands the frame of the signal that interrupted it. The first two are cheap to look at and tell most cases; dead
 * stack keeps its contents for a while, so in the end the stack is walked. In doubt the hook is running: what comes
 * is counted as re-entrant, without a stack.
 */
#include "stacks.h"

#include <signal.h>

#define MEMTRACK_GUARD_FRAMES 512

/* Is this a handler on an alternate signal stack? That may be a part of the thread's own stack. */
static bool on_signal_stack(void)
{
    stack_t now;
    return memtrack_sys3(SYS_sigaltstack, NULL, &now, 0) == 0 && now.ss_flags & SS_ONSTACK;
}

static bool read_stack(void *context, uint64_t address, uint64_t *value)
{
    const struct memtrack_thread *thread = context;
    if (address & 7 || address < (uintptr_t)&thread || address >= thread->stack_top)
        return false;
    *value = *(const uint64_t *)address;
    return true;
}

/* False where a walk from here to `guard` meets nothing but ordinary calls. */
static __attribute__((noinline)) bool may_be_in_handler(struct memtrack_thread *thread, uintptr_t guard)
{
    struct memtrack_cursor cursor;
    memtrack_cursor_capture(&cursor);
    for (int i = 0; i < MEMTRACK_GUARD_FRAMES; i++) {
        if (memtrack_cursor_step(&cursor, read_stack, thread) != MEMTRACK_STEP_OK || cursor.exact_pc)
            return true;
        if (cursor.reg[7] > guard)
            return false;
    }
    return true;
}

MEMTRACK_COLD bool memtrack_hook_is_abandoned(struct memtrack_thread *thread, const uintptr_t *frame)
{
    uintptr_t guard = thread->ready & ~(uint64_t)MEMTRACK_READY_BUSY;
    if ((uintptr_t)frame >= thread->stack_top || !memtrack_on_own_stack(thread, guard))
        return false;
    if (*(const uint64_t *)guard != MEMTRACK_MARK)
        return true;
    if (!memtrack_on_own_stack(thread, (uintptr_t)frame) || on_signal_stack())
        return false;
    if ((uintptr_t)frame >= guard)
        return true;
    /* libunwind may allocate: a plain call out of a hook */
    return !memtrack_rt.special && !may_be_in_handler(thread, guard);
}
