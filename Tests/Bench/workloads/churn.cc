// SPDX-License-Identifier: Apache-2.0
//
// churn ROUNDS: four threads, each with its own maps, strings and vectors that come and go.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

std::uint64_t advance(std::uint64_t &state)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

std::string word(std::uint64_t number)
{
    std::string text = "key-" + std::to_string(number);
    text += std::string(number % 40, 'x');
    return text;
}

std::uint64_t one_round(std::uint64_t &state)
{
    std::map<std::string, std::vector<int>> ordered;
    std::unordered_map<std::string, std::string> hashed;
    for (int i = 0; i < 4000; i++) {
        std::uint64_t r = advance(state);
        std::vector<int> &list = ordered[word(r % 1500)];
        for (std::uint64_t n = 0; n < r % 5; n++)
            list.push_back(static_cast<int>(n));
        hashed[word(r % 900)] += word(r % 13);
        if (r % 3 == 0)
            ordered.erase(word((r >> 8) % 1500));
        if (r % 11 == 0)
            hashed.erase(word((r >> 8) % 900));
    }
    std::uint64_t sum = 0;
    for (const auto &[key, list] : ordered)
        sum += key.size() + list.size();
    for (const auto &[key, text] : hashed)
        sum += key.size() * text.size();
    return sum;
}

} // namespace

int main(int argc, char **argv)
{
    int rounds = argc == 2 ? std::atoi(argv[1]) : 0;
    std::vector<std::thread> threads;
    std::uint64_t sums[4] = {};
    for (unsigned id = 0; id < 4; id++)
        threads.emplace_back([id, rounds, &sums] {
            std::uint64_t state = id + 1, sum = 0;
            for (int i = 0; i < rounds; i++)
                sum += one_round(state);
            sums[id] = sum;
        });
    for (std::thread &thread : threads)
        thread.join();
    std::uint64_t sum = sums[0] + sums[1] + sums[2] + sums[3];
    std::printf("churn %llu\n", static_cast<unsigned long long>(sum));
}
