// SPDX-License-Identifier: Apache-2.0
// `chain NODES`: one object that holds a list of so many nodes. Prints "ready" and waits for its input to end.
#include <cstdio>
#include <cstdlib>
#include <list>

struct Chain {
    std::list<long> nodes;
    virtual ~Chain() = default;
};

int main(int count, char **arguments)
{
    auto *chain = new Chain;
    for (long left = count > 1 ? std::atol(arguments[1]) : 0; left > 0; left--)
        chain->nodes.push_back(left);
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return chain->nodes.size() == 0;
}
