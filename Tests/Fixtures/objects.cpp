// SPDX-License-Identifier: Apache-2.0
// A known population of C++ objects: what `memtrack objects` must find in it. Prints "ready" and waits for its input
// to end.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shapes {
struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};
struct Named {
    virtual ~Named() = default;
    std::string name = "a name that is too long for the object itself";
};
struct Circle : Shape {
    double radius = 1;
    double area() const override { return 3 * radius * radius; }
};
// Two vtables in one object: the first word is that of the first base.
struct Label : Shape, Named {
    double area() const override { return 0; }
};
template <typename T> struct Holder : Shape {
    std::vector<T> values = std::vector<T>(100);
    double area() const override { return values.size(); }
};
struct Base : virtual Named {
    long number = 0;
};
} // namespace shapes

namespace {
struct Hidden : shapes::Shape {
    double area() const override { return 1; }
};
} // namespace

struct Plain {
    long words[7];
};

int main()
{
    std::vector<std::unique_ptr<shapes::Shape>> all;
    std::vector<std::unique_ptr<shapes::Base>> bases;
    std::vector<std::unique_ptr<Plain>> plain;
    for (int i = 0; i < 1000; i++)
        all.push_back(std::make_unique<shapes::Circle>());
    for (int i = 0; i < 200; i++)
        all.push_back(std::make_unique<shapes::Label>());
    for (int i = 0; i < 30; i++)
        all.push_back(std::make_unique<shapes::Holder<long>>());
    for (int i = 0; i < 70; i++)
        all.push_back(std::make_unique<Hidden>());
    for (int i = 0; i < 50; i++)
        bases.push_back(std::make_unique<shapes::Base>());
    for (int i = 0; i < 400; i++)
        plain.push_back(std::make_unique<Plain>());
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
}
