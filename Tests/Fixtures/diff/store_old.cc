// SPDX-License-Identifier: Apache-2.0
#include "store.h"
#include <cstdlib>

static void fill(Record &record, int number)
{
    for (int i = 0; i < number % 16; i++)
        record.values.push_back(i);
}

// With -O2 a part of load.
static Record make(int number)
{
    Record record;
    record.name = "a record with a rather long name, number " + std::to_string(number);
    fill(record, number);
    return record;
}

void load(std::map<std::string, Record> &records, int count)
{
    for (int i = 0; i < count; i++) {
        Record record = make(i);
        records[record.name] = record;
    }
}

// With -O2 a jump to malloc: its frame is in no stack.
__attribute__((noinline)) int *scratch(int size)
{
    return static_cast<int *>(std::malloc(size * sizeof(int)));
}
