// SPDX-License-Identifier: Apache-2.0
//
// operator new and delete in all their forms, and allocations of known number and size by several threads. Each
// function is one site; FixtureTests.swift has its figures.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define SITE __attribute__((noinline, noclone))
#define KEEP(block) __asm__ volatile("" : : "r"(block) : "memory")

struct alignas(128) Wide {
    char bytes[384];
};

struct Node {
    Node *next;
    char payload[72];
};

SITE Node *make_node(Node *next)
{
    Node *node = new Node; // SITE make_node
    node->next = next;
    KEEP(node);
    return node;
}

SITE void plain_forms()
{
    for (int i = 0; i < 10; i++) {
        void *block[4] = {
            ::operator new(200),                   // SITE new
            ::operator new[](201),                 // SITE new[]
            ::operator new(202, std::nothrow),     // SITE new nothrow
            ::operator new[](203, std::nothrow),   // SITE new[] nothrow
        };
        KEEP(block);
        ::operator delete(block[0]);
        ::operator delete[](block[1]);
        ::operator delete(block[2], std::nothrow);
        ::operator delete[](block[3], std::nothrow);
        block[0] = ::operator new(204); // SITE new sized
        block[1] = ::operator new[](205);
        KEEP(block);
        ::operator delete(block[0], std::size_t(204));
        ::operator delete[](block[1], std::size_t(205));
    }
}

SITE bool aligned_forms()
{
    const std::align_val_t wide{128};
    bool good = true;
    for (int i = 0; i < 10; i++) {
        void *block[6] = {
            ::operator new(384, wide), ::operator new[](384, wide), ::operator new(384, wide, std::nothrow),
            ::operator new[](384, wide, std::nothrow), ::operator new(384, wide), ::operator new[](384, wide),
        };
        KEEP(block);
        for (void *one : block)
            good = good && reinterpret_cast<std::uintptr_t>(one) % 128 == 0;
        ::operator delete(block[0], wide);
        ::operator delete[](block[1], wide);
        ::operator delete(block[2], wide, std::nothrow);
        ::operator delete[](block[3], wide, std::nothrow);
        ::operator delete(block[4], std::size_t(384), wide);
        ::operator delete[](block[5], std::size_t(384), wide);
        Wide *object = new Wide;
        KEEP(object);
        good = good && reinterpret_cast<std::uintptr_t>(object) % 128 == 0;
        delete object;
    }
    return good;
}

SITE bool refusals()
{
    volatile std::size_t much = SIZE_MAX / 4;
    bool thrown = false;
    try {
        KEEP(::operator new(much));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    void *none = ::operator new(much, std::nothrow);
    ::operator delete(nullptr);
    return thrown && none == nullptr;
}

SITE void work(int number)
{
    std::vector<void *> blocks;
    blocks.reserve(1000);
    for (int i = 0; i < 1000; i++) {
        void *block = std::malloc(static_cast<std::size_t>(1000 + number)); // SITE work
        KEEP(block);
        blocks.push_back(block);
    }
    for (void *block : blocks)
        std::free(block);
}

int main()
{
    Node *list = nullptr;
    for (int i = 0; i < 250; i++)
        list = make_node(list);
    for (int i = 0; i < 200; i++) {
        Node *next = list->next;
        delete list;
        list = next;
    }
    plain_forms();
    bool good = aligned_forms() && refusals();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back(work, i);
    for (std::thread &thread : threads)
        thread.join();
    return good ? 0 : 1;
}
