// SPDX-License-Identifier: Apache-2.0
//
// A file for the compiler to chew on: many headers, a few templates made real. BENCH_SMALL leaves out the larger
// half.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
#ifndef BENCH_SMALL
#include <chrono>
#include <filesystem>
#include <future>
#include <random>
#include <regex>
#include <thread>
#include <variant>
#endif

template <int N> struct Tower {
    std::map<std::string, std::vector<Tower<N - 1>>> floors;
    std::function<int(const Tower<N - 1> &)> measure;
    int height() const
    {
        int sum = N;
        for (const auto &[name, floor] : floors)
            for (const auto &room : floor)
                sum += room.height() + static_cast<int>(name.size());
        return sum;
    }
};

template <> struct Tower<0> {
    int height() const { return 1; }
};

#ifdef BENCH_SMALL
int use() { return Tower<3>().height(); }
#else
int use(const std::string &text)
{
    std::variant<int, std::string, std::filesystem::path> either = text;
    auto later = std::async([&] { return Tower<6>().height(); });
    std::mt19937_64 random(1);
    std::shuffle(const_cast<std::string &>(text).begin(), const_cast<std::string &>(text).end(), random);
    return later.get() + static_cast<int>(text.size()) + static_cast<int>(either.index());
}
#endif
