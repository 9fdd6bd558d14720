// SPDX-License-Identifier: Apache-2.0
//
// A program that replaces two of C++'s operators, new(size) and delete(block), with a pool of its own; the library's others
// end in these two. Prints how often each was called, and how many blocks came back that are not the pool's.
#include <cstdio>
#include <new>
#include <vector>

static char pool[1 << 16];
static std::size_t used;
static int made, freed, strange;

void *operator new(std::size_t size)
{
    made++;
    char *block = pool + used;
    used += (size + 15) & ~std::size_t{15};
    return block;
}

void operator delete(void *block) noexcept
{
    if (!block)
        return;
    freed++;
    strange += static_cast<char *>(block) < pool || static_cast<char *>(block) >= pool + sizeof(pool);
}

struct Object {
    int values[10];
};

static Object *volatile object;

int main()
{
    for (int i = 0; i < 10; i++) {
        object = new Object; // deleted with its size
        delete object;
        object = new Object[2];
        delete[] object;
        object = new (std::nothrow) Object;
        delete object;
    }
    std::vector<int> numbers;
    for (int i = 0; i < 100; i++)
        numbers.push_back(i);
    return std::printf("%d %d %d\n", made, freed, strange) < 0;
}
