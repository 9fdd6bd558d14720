// SPDX-License-Identifier: Apache-2.0
// C++ objects that lie one behind the other, a known number of each class: what `memtrack objects` must find. Prints
// "ready" and waits for its input to end.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

struct Element {
    virtual ~Element() {}
    long a = 1, b = 2;
};
struct Spare : Element {};
struct Plain {
    virtual int number() { return 1; }
    long a = 1;
};
struct Counted {
    virtual ~Counted() {}
    long a = 1;
};
struct alignas(16) Aligned {
    virtual ~Aligned() {}
    long a[3] = {};
};
struct Texts {
    virtual ~Texts() {}
    std::string text = "longer than what a string holds in itself";
};
struct Placed {
    virtual ~Placed() {}
    long a = 1;
};
struct Big {
    virtual ~Big() {}
    long words[150] = {};
};
struct BigCounted : Big {};
struct Long : Element {};
struct LongCounted : Counted {};
struct Two : Element, Counted {};
// Objects with others in them: one each.
struct Member {
    virtual ~Member() {}
    long a = 1;
};
struct Outer {
    virtual ~Outer() {}
    long a = 1;
    Member members[3];
    Counted counted;
};
struct Copies : Outer {
    Outer outer;
};
// What is no array: a number in front of an object, and another word where the next would begin.
struct Numbered {
    long number = 2;
    Member member;
    long words[2] = {};
};
struct Ones {
    long number = 1;
    Member member;
};

int main()
{
    std::vector<Spare> spare;
    spare.reserve(64);
    spare.resize(40);
    std::vector<Spare> long_spare;
    long_spare.reserve(100000);
    long_spare.resize(60000);
    std::vector<Element> elements(1000);
    std::vector<Element> few(2), one(1);
    std::vector<Big> big(7);
    std::vector<Long> long_vector(90000);
    std::vector<Two> two(50);
    auto *plain = new Plain[400];
    auto *counted = new Counted[500];
    auto *pair = new Counted[2];
    auto *aligned = new Aligned[30];
    auto *texts = new Texts[20];
    auto *big_counted = new BigCounted[9];
    auto *long_counted = new LongCounted[80000];
    auto *placed = static_cast<Placed *>(std::malloc(10 * sizeof(Placed)));
    for (int i = 0; i < 10; i++)
        new (placed + i) Placed;
    std::vector<void *> kept;
    for (int i = 0; i < 50; i++) {
        kept.push_back(new Outer);
        kept.push_back(new Numbered);
        kept.push_back(new Ones);
    }
    for (int i = 0; i < 30; i++)
        kept.push_back(new Copies);
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    // All that is pointed to by what the compiler could leave out is used.
    return plain->number() + kept.size() + counted->a + pair->a + aligned->a[0] + texts->text.size() + big_counted->words[0]
            + long_counted->a + placed->a
        ? 0
        : 1;
}
