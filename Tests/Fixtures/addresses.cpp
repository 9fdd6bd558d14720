// SPDX-License-Identifier: Apache-2.0
//
// Takes the addresses of malloc and of operator new, and allocates through both and by plain calls. Linked at a fixed address,
// both addresses are in the program's own file, not in the library that defines them: it is its code that names them.
#include <cstdlib>
#include <new>

static void *(*volatile by_malloc)(std::size_t);
static void *(*volatile by_new)(std::size_t);

int main()
{
    by_malloc = std::malloc;
    by_new = ::operator new;
    for (int i = 0; i < 10; i++) {
        std::free(by_malloc(1000));
        ::operator delete(by_new(2000));
        void *volatile block = ::operator new(3000);
        ::operator delete(block);
        std::free(reallocarray(std::malloc(8), 1, 4000));
    }
}
