// SPDX-License-Identifier: Apache-2.0
// main_old.cc with a cache that nobody empties.
#include "store.h"
#include <cstdio>
#include <cstdlib>

static std::vector<char *> cache;

__attribute__((noinline)) static void remember(int number)
{
    char *copy = static_cast<char *>(std::malloc(64));
    std::snprintf(copy, 64, "answer %d", number);
    cache.push_back(copy);
}

static long query(const std::map<std::string, Record> &records, int rounds)
{
    long sum = 0;
    for (int i = 0; i < rounds; i++) {
        int *work = scratch(1000);
        work[i % 1000] = i;
        sum += work[i % 1000] + static_cast<long>(records.size());
        remember(i);
        std::free(work);
    }
    return sum;
}

int main()
{
    std::map<std::string, Record> records;
    load(records, 500);
    long sum = query(records, 200);
    std::vector<long> copies = repeat<long>(sum, 3000);
    std::printf("%ld\n", copies.back());
    return 0;
}
