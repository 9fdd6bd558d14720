/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind_walks.c - live stacks, taken by the rules, by the full unwinder and by libunwind.
 *
 * MODEL. At a checked point the same stack is taken by memtrack_cursor_step alone, once more with lazy rbp,
 * by rules as the library's hot path does it (a frame whose rule is FULL is stepped over by a cursor), and
 * by libunwind. All must have the same length and the same addresses. Points lie in fixtures of many shapes,
 * on ordinary, thread, alternate signal and coroutine stacks, and - by the processor's trap flag - on every
 * instruction of some of them, PLT stubs and the lazy binder included.
 */
#define _GNU_SOURCE
#define UNW_LOCAL_ONLY
#include <errno.h>
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "unwind.h"
#include "unwind_test.h"
#include "unwind_walks.h"

#define DEPTH 512
#define NOINLINE __attribute__((noinline))

extern void *__libc_stack_end;

struct walk {
    uint64_t ip[DEPTH];
    int length;
    enum memtrack_step end; /* why it ended */
    bool depends_on_entry;
};

static unsigned long walks, frames, full_frames;

static const char *stepping; /* set while single-stepping; fixtures then only run */
static unsigned long instructions, stride, stepped_walks, dead_ends, skipped;

static uint64_t stack_low, stack_high; /* while stepping: nothing else is readable, for registers lie then */

static bool read_word(void *context, uint64_t address, uint64_t *value)
{
    (void)context;
    if (address < 4096 || (stepping && (address < stack_low || address > stack_high - sizeof *value)))
        return false;
    memcpy(value, (const void *)address, sizeof *value);
    return true;
}

static void walk_cursor(struct memtrack_cursor cursor, struct walk *out)
{
    out->length = 0;
    out->end = MEMTRACK_STEP_OK;
    while (out->length < DEPTH && out->end == MEMTRACK_STEP_OK) {
        out->ip[out->length++] = cursor.reg[16];
        out->end = memtrack_cursor_step(&cursor, read_word, NULL);
    }
    out->depends_on_entry = cursor.depends_on_entry;
}

/* The frame `depth` steps out from the start. */
static struct memtrack_cursor cursor_at(struct memtrack_cursor cursor, int depth)
{
    while (depth-- > 0)
        memtrack_cursor_step(&cursor, read_word, NULL);
    return cursor;
}

static void walk_rules(const struct memtrack_cursor *start, struct walk *out)
{
    uint64_t ip = start->reg[16], rsp = start->reg[7], rbp = start->reg[6], cfa = 0;
    bool exact = true, rbp_known = true;
    out->length = 0;
    out->end = MEMTRACK_STEP_OK;
    while (out->length < DEPTH) {
        out->ip[out->length++] = ip;
        struct memtrack_object object;
        struct memtrack_rule rule = {.kind = MEMTRACK_RULE_NONE};
        uint64_t pc = exact ? ip : ip - 1;
        if (memtrack_object_find(pc, &object))
            memtrack_rule_decode(&object, pc, &rule);
        switch (rule.kind) {
        case MEMTRACK_RULE_RSP: cfa = rsp + (uint64_t)(int64_t)rule.cfa_offset; break;
        case MEMTRACK_RULE_RBP:
            cfa = rbp + (uint64_t)(int64_t)rule.cfa_offset;
            if (!rbp_known) {
                out->end = MEMTRACK_STEP_FAILED;
                return;
            }
            break;
        case MEMTRACK_RULE_RBP_DEREF:
            if (!rbp_known || !read_word(NULL, rbp + (uint64_t)(int64_t)rule.cfa_offset, &cfa)) {
                out->end = MEMTRACK_STEP_FAILED;
                return;
            }
            break;
        case MEMTRACK_RULE_FULL: {
            struct memtrack_cursor cursor = cursor_at(*start, out->length - 1);
            full_frames++;
            out->end = memtrack_cursor_step(&cursor, read_word, NULL);
            if (out->end != MEMTRACK_STEP_OK)
                return;
            ip = cursor.reg[16];
            rsp = cursor.reg[7];
            rbp = cursor.reg[6];
            rbp_known = cursor.known & (1u << 6);
            exact = cursor.exact_pc;
            continue;
        }
        default: out->end = rule.kind == MEMTRACK_RULE_END ? MEMTRACK_STEP_END : MEMTRACK_STEP_NO_CFI; return;
        }
        bool good = read_word(NULL, cfa - 8, &ip);
        if (rule.flags & MEMTRACK_RULE_RBP_AT_CFA)
            rbp_known = read_word(NULL, cfa + (uint64_t)(int64_t)rule.rbp_offset, &rbp);
        if (rule.flags & MEMTRACK_RULE_RBP_AT_RBP)
            rbp_known = rbp_known && read_word(NULL, rbp + (uint64_t)(int64_t)rule.rbp_offset, &rbp);
        exact = rule.flags & MEMTRACK_RULE_SIGNAL;
        rsp = cfa;
        if (!good || ip == 0) {
            out->end = good ? MEMTRACK_STEP_END : MEMTRACK_STEP_FAILED;
            return;
        }
    }
}

/* While stepping, a walk may stop early where a compiler's CFI is not true to every instruction: at the end
 * of a realigned function, and in libgcc while it overwrites registers saved on the stack. Both sides must
 * then have come equally far, but where nothing describes the last frame, libunwind goes on guessing. */
static void compare(const char *where, const char *what, const struct walk *ours, const struct walk *theirs)
{
    bool guesses = stepping && ours->end == MEMTRACK_STEP_NO_CFI && theirs->length > ours->length;
    bool good = (guesses || ours->length == theirs->length) && (stepping || ours->end == MEMTRACK_STEP_END);
    dead_ends += ours->end != MEMTRACK_STEP_END;
    for (int i = 1; good && i < ours->length; i++)
        good = ours->ip[i] == theirs->ip[i];
    if (check(good, "%s: %s: %d frames (end %d), libunwind %d", where, what, ours->length, ours->end,
              theirs->length)
        || tally_failed > 5)
        return;
    for (int i = 0; i < ours->length || i < theirs->length; i++)
        fprintf(stderr, "    %2d %#14lx %#14lx\n", i, i < ours->length ? (unsigned long)ours->ip[i] : 0,
                i < theirs->length ? (unsigned long)theirs->ip[i] : 0);
}

/* libunwind loses its way, or crashes, in the frames of unwind_fixture_asm.S. What lies outside of them is
 * known from a walk that was taken before they were entered. */
static const struct walk *outside;

static bool expect_outside(const struct walk *ours, struct walk *expected)
{
    int inside = 0;
    if (!outside)
        return false;
    while (inside < ours->length && (ours->ip[inside] < (uint64_t)fixture_asm_begin
                                     || ours->ip[inside] >= (uint64_t)fixture_asm_end))
        inside++;
    inside += 2; /* the frame of assembly and the call of it */
    if (inside > ours->length) {
        expected->length = 0; /* never got there: not equal */
        return !stepping;
    }
    memcpy(expected->ip, ours->ip, (size_t)inside * sizeof *ours->ip);
    memcpy(expected->ip + inside, outside->ip + 1, (size_t)(outside->length - 1) * sizeof *outside->ip);
    expected->length = inside + outside->length - 1;
    return true;
}

/* Index 0 is the address in this function itself, which differs by a few instructions. */
NOINLINE void walk_check(const char *where)
{
    if (stepping)
        return;
    static _Thread_local struct walk full, lazy, rules, theirs;
    struct memtrack_cursor cursor, lazy_cursor;
    int saved_errno = errno;
    memtrack_cursor_capture(&cursor);
    errno = 4711;
    walk_cursor(cursor, &full);
    walk_rules(&cursor, &rules);
    lazy_cursor = cursor;
    lazy_cursor.lazy_rbp = true;
    walk_cursor(lazy_cursor, &lazy);
    if (errno != 4711)
        check(false, "%s: errno was touched", where);
    if (!expect_outside(&full, &theirs))
        theirs.length = unw_backtrace((void **)theirs.ip, DEPTH);
    compare(where, "full", &full, &theirs);
    compare(where, "full, lazy rbp", &lazy, &theirs);
    compare(where, "rules", &rules, &theirs);
    check(!full.depends_on_entry, "%s: depends on a register's value at the start", where);
    walks++;
    frames += (unsigned long)full.length;
    errno = saved_errno;
}

/* ---- every instruction ---- */


/* libunwind's exact cursor: its unw_backtrace takes a short cut that is made for return addresses. */
static void walk_libunwind(ucontext_t *state, struct walk *out)
{
    unw_cursor_t cursor;
    unw_word_t ip;
    out->length = 0;
    unw_init_local2(&cursor, state, UNW_INIT_SIGNAL_FRAME);
    do {
        unw_get_reg(&cursor, UNW_REG_IP, &ip);
        if (ip == 0) /* the end for us; libunwind goes on and guesses */
            break;
        out->ip[out->length++] = ip;
    } while (out->length < DEPTH && unw_step(&cursor) > 0);
}

static void cursor_from_context(const ucontext_t *state, struct memtrack_cursor *out)
{
    static const int order[17] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                  REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                  REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    *out = (struct memtrack_cursor){.known = 0x1ffff, .entry = 0x1ffff, .exact_pc = true};
    for (int i = 0; i < 17; i++)
        out->reg[i] = (uint64_t)state->uc_mcontext.gregs[order[i]];
}

/* libgcc's last instructions before it enters a landing pad have that for return address. No call precedes
 * it, so the address less 1 is other code with another row, and no unwinder can go on from there. */
static bool returns_to_landing_pad(const struct walk *walk)
{
    const uint8_t *code = (const uint8_t *)walk->ip[1];
    if (walk->length < 2 || code[-5] == 0xe8) /* call rel32 */
        return false;
    for (int bytes = 2; bytes <= 7; bytes++) /* call through a register or memory: ff /2 */
        if (code[-bytes] == 0xff && (code[1 - bytes] & 0x38) == 0x10)
            return false;
    return true;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    static struct walk full, rules, theirs;
    struct memtrack_cursor cursor;
    ucontext_t *state = context;
    if (info->si_code == SI_KERNEL) /* an int3 turns stepping on and off */
        state->uc_mcontext.gregs[REG_EFL] ^= 0x100;
    if (instructions++ % stride != 0)
        return;
    cursor_from_context(state, &cursor);
    walk_cursor(cursor, &full);
    if (returns_to_landing_pad(&full)) {
        skipped++;
        return;
    }
    walk_rules(&cursor, &rules);
    if (!expect_outside(&full, &theirs))
        walk_libunwind(state, &theirs);
    compare(stepping, "full, stepped", &full, &theirs);
    compare(stepping, "rules, stepped", &rules, &theirs);
    stepped_walks++;
}

static NOINLINE void check_each_instruction(const char *where, void (*body)(int), int argument,
                                            unsigned long every)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    struct sigaction before;
    sigaction(SIGTRAP, &action, &before);
    stack_low = (uint64_t)__builtin_frame_address(0) - (1 << 20);
    stack_high = (uint64_t)__libc_stack_end + 64;
    /* libunwind's cache takes the row of a return address for that of the same address interrupted. */
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_NONE);
    stepping = where;
    instructions = 0;
    stride = every;
    __asm__ volatile("int3" ::: "memory");
    body(argument);
    __asm__ volatile("int3" ::: "memory");
    stepping = NULL;
    sigaction(SIGTRAP, &before, NULL);
}

/* ---- places ---- */

static void all_fixtures(int depth)
{
    fixture_gcc_O0(depth);
    fixture_gcc_O2(depth);
    fixture_gcc_O2_frame_pointer(depth);
    if (__builtin_cpu_supports("avx2"))
        fixture_gcc_Os_avx2(depth);
    fixture_clang_O0(depth);
    fixture_clang_O2(depth);
    fixture_cxx(depth);
}

static NOINLINE void through(void (*frame)(void (*)(int), int), int depth)
{
    struct memtrack_cursor cursor;
    static struct walk here;
    memtrack_cursor_capture(&cursor);
    walk_cursor(cursor, &here);
    outside = &here;
    frame(fixture_gcc_O2, depth);
    outside = NULL;
}

static NOINLINE void through_assembly(int depth)
{
    through(fixture_asm_cfa_in_rbx, depth);
    through(fixture_asm_return_in_r12, depth);
    through(fixture_asm_expressions, depth);
}

static void on_signal(int number)
{
    static volatile sig_atomic_t nested;
    walk_check("signal handler");
    all_fixtures(3);
    through_assembly(3);
    if (number == SIGUSR1 && !nested) {
        nested = 1;
        raise(SIGUSR2);
        nested = 0;
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    walk_check("fault handler");
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
}

static NOINLINE void signals(void)
{
    struct sigaction usual = {.sa_handler = on_signal}, alternate = {.sa_handler = on_signal};
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    alternate.sa_flags = SA_ONSTACK;
    stack_t stack = {.ss_sp = malloc(1 << 18), .ss_size = 1 << 18};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &usual, NULL);
    sigaction(SIGUSR2, &alternate, NULL);
    raise(SIGUSR1);
    raise(SIGUSR2);
    sigaction(SIGILL, &fault, NULL);
    __asm__ volatile("ud2" ::: "memory");
    fixture_asm_fault();
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    free(stack.ss_sp);
}

static void *thread_main(void *argument)
{
    walk_check("thread");
    all_fixtures(5);
    return argument;
}

static ucontext_t main_context, coroutine_context;

static void coroutine_main(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        walk_check("coroutine");
        all_fixtures(4 + i);
        swapcontext(&coroutine_context, &main_context);
    }
}

static NOINLINE void coroutine(void)
{
    size_t bytes = 1 << 18;
    char *stack = malloc(bytes);
    getcontext(&coroutine_context);
    coroutine_context.uc_stack.ss_sp = stack;
    coroutine_context.uc_stack.ss_size = bytes;
    coroutine_context.uc_link = &main_context;
    makecontext(&coroutine_context, (void (*)(void))coroutine_main, 1, 3);
    for (int i = 0; i < 4; i++)
        swapcontext(&main_context, &coroutine_context);
    free(stack);
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Calls that each go through the PLT, the first time through the lazy binder. */
static NOINLINE void library_calls(int n)
{
    volatile char buffer[64];
    int numbers[8] = {5, 3, 8, 1, n, 2, 9, 4};
    snprintf((char *)buffer, sizeof buffer, "%d %s %.3f", n, "text", n / 3.0);
    qsort(numbers, 8, sizeof *numbers, by_value);
    free(strdup((const char *)buffer));
    (void)strtol((const char *)buffer, NULL, 10);
    (void)getenv("HOME");
}

__attribute__((force_align_arg_pointer)) int main(void)
{
    unw_set_caching_policy(unw_local_addr_space, UNW_CACHE_PER_THREAD);
    walk_check("main");
    for (int depth = 1; depth < 400; depth = depth * 2 + 1)
        all_fixtures(depth);
    through_assembly(6);
    signals();
    pthread_t thread;
    pthread_create(&thread, NULL, thread_main, NULL);
    pthread_join(thread, NULL);
    coroutine();
    check_each_instruction("library calls", library_calls, 7, 1);
    check_each_instruction("gcc_O0", fixture_gcc_O0, 3, 1);
    check_each_instruction("gcc_O2", fixture_gcc_O2, 3, 1);
    check_each_instruction("gcc_O2_frame_pointer", fixture_gcc_O2_frame_pointer, 3, 1);
    if (__builtin_cpu_supports("avx2"))
        check_each_instruction("gcc_Os_avx2", fixture_gcc_Os_avx2, 3, 1);
    check_each_instruction("clang_O0", fixture_clang_O0, 3, 1);
    check_each_instruction("clang_O2", fixture_clang_O2, 3, 1);
    check_each_instruction("C++", fixture_cxx, 2, 1);
    check_each_instruction("assembly", through_assembly, 3, 1);
    printf("  %lu walks, %lu frames (%lu needed the full unwinder in a rule walk)\n", walks, frames,
           full_frames);
    printf("  %lu walks instruction by instruction, of which %lu stop early; %lu skipped\n",
           stepped_walks, dead_ends / 2, skipped);
    return tally_end("unwind_walks");
}
