// SPDX-License-Identifier: Apache-2.0
//
// A library with operators new and delete of its own, which count. Loaded with RTLD_LOCAL by a program without C++.
// With HOST defined: that program, in C++ syntax alone. It needs no libstdc++.
#ifdef HOST
#include <dlfcn.h>
#include <stdio.h>

int main(int, char **arguments)
{
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fprintf(stderr, "%s\n", dlerror()), 2;
    int (*work)(int);
    *reinterpret_cast<void **>(&work) = dlsym(library, "work");
    return printf("%d\n", work(100)) < 0;
}
#else
#include <cstdlib>
#include <new>

static int made, freed;

void *operator new(std::size_t size)
{
    made++;
    return std::malloc(size);
}

void operator delete(void *block) noexcept
{
    freed++;
    std::free(block);
}

void operator delete(void *block, std::size_t) noexcept
{
    freed++;
    std::free(block);
}

extern "C" int work(int count)
{
    for (int i = 0; i < count; i++) {
        int *volatile number = new int(i);
        if (i % 2)
            delete number;
    }
    return made * 1000 + freed;
}
#endif
