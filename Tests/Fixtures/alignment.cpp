// SPDX-License-Identifier: Apache-2.0
//
// alignment.cpp - new with alignments that are none, and says which were refused.
#include <cstdio>
#include <new>

int main()
{
    const std::size_t alignments[] = {0, 1, 3, 16, 24, 48, 64, 4097};
    for (std::size_t align : alignments) {
        const char *thrown = "given";
        void *block = nullptr;
        try {
            block = ::operator new(100, std::align_val_t(align));
        } catch (const std::bad_alloc &) {
            thrown = "thrown";
        }
        ::operator delete(block, std::align_val_t(align));
        void *array = ::operator new[](100, std::align_val_t(align), std::nothrow);
        std::printf("%zu: %s, %s\n", align, thrown, array ? "given" : "null");
        ::operator delete[](array, std::align_val_t(align));
    }
}
