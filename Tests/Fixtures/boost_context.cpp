// SPDX-License-Identifier: Apache-2.0
//
// Coroutines of boost.context, which switches stacks by assembly of its own: 8 of them, resumed in turn 50 times, each time
// making and freeing a block of 130 bytes in `touch`, on stacks that come from mmap and from the heap.
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdlib>
#include <memory>
#include <vector>

namespace ctx = boost::context;

__attribute__((noinline, noclone)) static void touch()
{
    void *block = std::malloc(130);
    __asm__ volatile("" : : "r"(block) : "memory");
    std::free(block);
}

__attribute__((noinline, noclone)) static ctx::fiber coroutine(ctx::fiber &&caller)
{
    for (int i = 0; i < 50; i++) {
        touch();
        caller = std::move(caller).resume();
    }
    return std::move(caller);
}

int main()
{
    std::vector<ctx::fiber> fibers;
    for (int i = 0; i < 4; i++) {
        fibers.emplace_back(std::allocator_arg, ctx::fixedsize_stack(64 * 1024), coroutine);
        fibers.emplace_back(std::allocator_arg, ctx::protected_fixedsize_stack(64 * 1024), coroutine);
    }
    for (bool more = true; more;) {
        more = false;
        for (auto &fiber : fibers)
            if (fiber) {
                fiber = std::move(fiber).resume();
                more = more || static_cast<bool>(fiber);
            }
    }
    return 0;
}
