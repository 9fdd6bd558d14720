// SPDX-License-Identifier: Apache-2.0
// A service whose second build (-DSECOND) forgets to evict from its cache; functions have moved since the first.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "memtrack/memtrack.h"

#define APART __attribute__((noinline))

namespace service {

#ifdef SECOND
// Lines move.
struct Unrelated {
    int value;
};
#endif

struct Cache {
    std::vector<std::unique_ptr<char[]>> entries;
    APART void insert(size_t size)
    {
        entries.push_back(std::unique_ptr<char[]>(new char[size]));
#ifndef SECOND
        if (entries.size() > 100)
            entries.erase(entries.begin());
#endif
    }
};

template <typename Value> APART std::string *format(Value value)
{
    return new std::string(200, static_cast<char>('a' + value % 26));
}

APART static void handle(Cache &cache, std::vector<std::string *> &log, int request)
{
    cache.insert(4000);
    log.push_back(format(request));
    if (request % 10 == 0)
        delete format(request + 1);
}

} // namespace service

int main(int count, char **arguments)
{
    service::Cache cache;
    std::vector<std::string *> log;
    int requests = count > 1 ? atoi(arguments[1]) : 1000;
    memtrack_mark("</script><img src=x onerror=window.hacked=1>");
    for (int request = 0; request < requests; request++) {
        service::handle(cache, log, request);
        if (request % 250 == 249)
            usleep(150000);
    }
    // What lives on is looked at: the end is quick_exit's.
    fflush(stdout);
    _exit(0);
}
