// SPDX-License-Identifier: Apache-2.0
//
// Stacks that are hard to unwind: `stacks MODE...` runs the named ones, or all.
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/time.h>
#include <thread>
#include <ucontext.h>
#include <vector>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

SITE static void touch(std::size_t size)
{
    void *block = std::malloc(size);
    KEEP(block);
    std::free(block);
}

SITE static int recurse(int depth, std::size_t size)
{
    if (depth == 0) {
        touch(size);
        return 0;
    }
    return 1 + recurse(depth - 1, size);
}

SITE static int with_alloca(int depth, unsigned seed)
{
    char *room = static_cast<char *>(alloca(16 + seed * 37 % 900));
    room[0] = static_cast<char>(seed);
    KEEP(room);
    touch(seed % 200);
    return depth ? 1 + with_alloca(depth - 1, seed * 5 + 1) : room[0] * 0;
}

/* A realigned stack: the frame is addressed by another register than the CFA. */
struct alignas(64) Lane {
    double values[8];
};
SITE static double realigned(int depth, const Lane &lane)
{
    alignas(64) Lane copy = lane;
    KEEP(&copy);
    touch(static_cast<std::size_t>(depth));
    return depth ? realigned(depth - 1, copy) + copy.values[0] : 0;
}

struct Held {
    std::string text;
    explicit Held(int n) : text(static_cast<std::size_t>(30 + n), 'x') {}
    ~Held() { touch(text.size()); } /* allocates while the stack is unwound */
};

SITE static void thrower(int depth)
{
    Held held(depth);
    if (depth == 0)
        throw std::runtime_error("a message that is too long for the small string buffer");
    thrower(depth - 1);
}

static void exceptions()
{
    for (int i = 0; i < 1000; i++) {
        try {
            thrower(i % 25);
        } catch (const std::exception &error) {
            touch(std::strlen(error.what()));
        }
    }
}

static void lambdas()
{
    std::function<int(int)> chain = [](int n) { touch(static_cast<std::size_t>(n)); return n; };
    for (int i = 0; i < 30; i++)
        chain = [chain, i](int n) { return n > 0 ? chain(n - 1) + i : chain(0); };
    for (int i = 0; i < 40; i++)
        chain(i);
}

static int compare(const void *left, const void *right)
{
    touch(24);
    return *static_cast<const int *>(left) - *static_cast<const int *>(right);
}

static void callbacks()
{
    int numbers[64];
    for (int i = 0; i < 64; i++)
        numbers[i] = (i * 37) % 64;
    std::qsort(numbers, 64, sizeof(int), compare); /* frames of libc between ours */
}

static void handle(int)
{
    touch(333);
    recurse(5, 44);
}

SITE static void spin(int n)
{
    volatile unsigned sum = 0;
    for (int i = 0; i < n; i++)
        sum = sum * 31 + static_cast<unsigned>(i);
}

static void signals()
{
    struct sigaction action = {};
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, nullptr);
    for (int i = 0; i < 50; i++)
        std::raise(SIGUSR1);

    /* The same on a stack of its own. */
    static char stack[65536];
    stack_t alternate = {};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof(stack);
    sigaltstack(&alternate, nullptr);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &action, nullptr);
    for (int i = 0; i < 50; i++)
        std::raise(SIGUSR2);

    /* And at any instruction whatever, with no call in sight. */
    action.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &action, nullptr);
    struct itimerval often = {{0, 200}, {0, 200}}, never = {};
    setitimer(ITIMER_PROF, &often, nullptr);
    for (int i = 0; i < 300; i++) {
        spin(100000);
        with_alloca(3, static_cast<unsigned>(i));
    }
    setitimer(ITIMER_PROF, &never, nullptr);
    alternate.ss_flags = SS_DISABLE;
    sigaltstack(&alternate, nullptr);
}

static std::jmp_buf checkpoint;
static void jumper(int depth);
static void (*volatile next_jumper)(int) = jumper;
SITE static void jumper(int depth)
{
    touch(70);
    if (depth == 0)
        std::longjmp(checkpoint, 1);
    next_jumper(depth - 1);
}

static void jumps()
{
    for (volatile int i = 0; i < 200; i = i + 1)
        if (setjmp(checkpoint) == 0)
            jumper(i % 20);
        else
            touch(71);
}

static ucontext_t main_context, coroutine_context[3];
static void coroutine(int number)
{
    for (int i = 0; i < 40; i++) {
        recurse(3 + number, static_cast<std::size_t>(50 + i));
        swapcontext(&coroutine_context[number], &main_context);
    }
}

static void coroutines()
{
    const std::size_t size = 65536;
    static char in_data[size];
    char on_stack[size];
    char *stacks[3] = {in_data, on_stack, static_cast<char *>(std::malloc(size))};
    for (int i = 0; i < 3; i++) {
        getcontext(&coroutine_context[i]);
        coroutine_context[i].uc_stack.ss_sp = stacks[i];
        coroutine_context[i].uc_stack.ss_size = size;
        coroutine_context[i].uc_link = &main_context;
        makecontext(&coroutine_context[i], reinterpret_cast<void (*)()>(coroutine), 1, i);
    }
    for (int round = 0; round < 40; round++)
        for (auto &context : coroutine_context)
            swapcontext(&main_context, &context);
    std::free(stacks[2]);
}

static void threads()
{
    std::vector<std::thread> all;
    for (int i = 0; i < 4; i++)
        all.emplace_back([i] {
            for (int n = 0; n < 8000; n++) {
                recurse(n % 30, static_cast<std::size_t>(n % 500));
                std::string text(static_cast<std::size_t>(20 + (n * i) % 90), 'a');
                KEEP(&text);
            }
        });
    for (std::thread &thread : all)
        thread.join();
}

static void deep()
{
    for (int depth = 0; depth < 300; depth += 7)
        recurse(depth, 123);
    recurse(20000, 124);
}

static void frames()
{
    for (int i = 0; i < 60; i++)
        with_alloca(i % 12, static_cast<unsigned>(i));
    realigned(12, Lane{{1, 2, 3, 4, 5, 6, 7, 8}});
}

int main(int count, char **names)
{
    const struct {
        const char *name;
        void (*run)();
    } modes[] = {{"exceptions", exceptions}, {"lambdas", lambdas},       {"callbacks", callbacks},
                 {"signals", signals},       {"jumps", jumps},           {"coroutines", coroutines},
                 {"threads", threads},       {"deep", deep},             {"frames", frames}};
    for (const auto &mode : modes) {
        bool wanted = count == 1;
        for (int i = 1; i < count; i++)
            wanted |= std::strcmp(names[i], mode.name) == 0;
        if (wanted)
            mode.run();
    }
    return 0;
}
