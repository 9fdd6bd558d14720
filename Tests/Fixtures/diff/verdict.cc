// SPDX-License-Identifier: Apache-2.0
// Four threads that allocate and free; how many blocks of 100 bytes they keep is the argument. And one function with two
// lines that allocate, of which the smaller one is new with -DLEAK.
#include <cstdlib>
#include <thread>
#include <vector>

static void *volatile kept;

__attribute__((noinline)) static void work() {
    kept = malloc(1000000);
#ifdef LEAK
    for (int i = 0; i < 1000; i++)
        kept = malloc(100);
#endif
}

__attribute__((noinline)) static void serve(int keep) {
    for (int i = 0; i < 2000; i++) {
        void *volatile block = malloc(100);
        if (i >= keep)
            free(block);
    }
}

int main(int count, char **arguments) {
    if (count < 2) {
        work();
        return 0;
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back(serve, atoi(arguments[1]));
    for (auto &thread : threads)
        thread.join();
}
