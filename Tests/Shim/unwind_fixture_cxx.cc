// SPDX-License-Identifier: Apache-2.0
//
// unwind_fixture_cxx.cc - C++ shapes: exceptions at every stage, lambdas inside the library's algorithms.
#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "unwind_walks.h"

namespace {

struct Guard {
    std::string name;
    ~Guard() { walk_check("C++: destructor"); }
};

[[gnu::noinline]] void thrower(int depth)
{
    Guard guard{"a name that is too long for the small buffer " + std::to_string(depth)};
    if (depth == 0)
        throw std::runtime_error(guard.name);
    thrower(depth - 1);
}

[[gnu::noinline]] void rethrower(int depth)
{
    try {
        thrower(depth);
    } catch (const std::runtime_error &) {
        walk_check("C++: catch");
        throw;
    }
}

struct Base {
    virtual ~Base() = default;
    virtual int apply(int value) = 0;
};
struct Derived : Base {
    int apply(int value) override
    {
        walk_check("C++: virtual function");
        return value + 1;
    }
};

} // namespace

void fixture_cxx(int depth)
{
    try {
        rethrower(depth % 5);
    } catch (const std::exception &) {
        walk_check("C++: outer catch");
    }
    std::vector<int> numbers(40);
    for (int i = 0; i < 40; i++)
        numbers[static_cast<size_t>(i)] = (i * 17 + depth) % 40;
    int calls = 0;
    std::sort(numbers.begin(), numbers.end(), [&calls](int a, int b) {
        if (calls++ % 8 == 0)
            walk_check("C++: lambda");
        return a < b;
    });
    std::unique_ptr<Base> object = std::make_unique<Derived>();
    std::function<int(int)> function = [&object](int value) { return object->apply(value); };
    numbers[0] = function(depth);
}
