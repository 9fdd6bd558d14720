// SPDX-License-Identifier: Apache-2.0
// A known population of C++ objects: what `memtrack objects` must find in it. Prints "ready" and waits for its input
// to end. The argument is a library to load objects_plugin.cpp from.
#include <cstdio>
#include <dlfcn.h>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <typeindex>
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
// Blocks that are linked by each other.
struct Graph : Shape {
    std::list<long> chain;
    std::map<int, long> index;
    Graph()
    {
        for (int i = 0; i < 2000; i++)
            chain.push_back(i);
        for (int i = 0; i < 500; i++)
            index[i] = i;
    }
    double area() const override { return chain.size(); }
};
// The count of an array stands in front of it.
struct Rack : Shape {
    Named *names = new Named[10];
    ~Rack() override { delete[] names; }
    double area() const override { return 10; }
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
// No object, though its first word leads to where a class is described.
struct Entry {
    std::type_index type;
    long words[7];
};

int main(int argc, char **argv)
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
    for (int i = 0; i < 5; i++)
        all.push_back(std::make_unique<shapes::Graph>());
    for (int i = 0; i < 20; i++)
        all.push_back(std::make_unique<shapes::Rack>());
    std::vector<void *> widgets;
    if (argc > 1) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        auto make = library ? reinterpret_cast<void *(*)()>(dlsym(library, "plugin_make")) : nullptr;
        if (!make)
            return 1;
        for (int i = 0; i < 90; i++)
            widgets.push_back(make());
    }
    for (int i = 0; i < 50; i++)
        bases.push_back(std::make_unique<shapes::Base>());
    for (int i = 0; i < 400; i++)
        plain.push_back(std::make_unique<Plain>());
    std::vector<std::unique_ptr<Entry>> entries;
    for (int i = 0; i < 100; i++) {
        entries.push_back(std::unique_ptr<Entry>(new Entry{typeid(shapes::Circle), {}}));
        entries.push_back(std::unique_ptr<Entry>(new Entry{typeid(shapes::Rack), {}}));
        entries.push_back(std::unique_ptr<Entry>(new Entry{typeid(Hidden), {}}));
    }
    std::puts("ready");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
}
