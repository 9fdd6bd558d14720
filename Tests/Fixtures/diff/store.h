// SPDX-License-Identifier: Apache-2.0
// Two builds to compare: store_old.cc with main_old.cc, and store_new.cc with main_new.cc. The same work, but functions have
// moved within their file, a file has another name, another optimization is used, and one function keeps
// what it should free. Each build is one command; see DiffTests.
#pragma once
#include <map>
#include <string>
#include <vector>

struct Record {
    std::string name;
    std::vector<int> values;
};

void load(std::map<std::string, Record> &records, int count);
int *scratch(int size);
template <class T> std::vector<T> repeat(T value, int count)
{
    return std::vector<T>(count, value);
}
