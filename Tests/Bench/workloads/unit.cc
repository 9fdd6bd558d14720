// SPDX-License-Identifier: Apache-2.0
//
// One unit of the program of 100 MB of debug information: forty copies of it are linked (reader.py). Everything is local to the
// unit, so that each copy has code and debug information of its own.
#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <utility>

namespace {

struct Key {
    int a;
    bool operator<(const Key &o) const { return a < o.a; }
    bool operator==(const Key &o) const { return a == o.a; }
};

struct Hash {
    size_t operator()(const Key &k) const { return (size_t)k.a; }
};

template <int N> struct Value {
    std::string s;
    int x;
    Value(int i = 0) : s(std::to_string(i)), x(N + i) {}
    bool operator<(const Value &o) const { return s < o.s; }
};

template <int N> long work(int n) {
    std::map<Key, Value<N>> m;
    std::unordered_map<Key, std::vector<Value<N>>, Hash> u;
    std::set<Value<N>> s;
    std::list<Value<N>> l;
    std::deque<Value<N>> d;
    for (int i = 0; i < n; i++) {
        m[Key{i}] = Value<N>(i);
        u[Key{i % 7}].push_back(Value<N>(i));
        s.insert(Value<N>(i));
        l.push_back(Value<N>(i));
        d.push_front(Value<N>(i));
    }
    l.sort();
    std::sort(d.begin(), d.end());
    std::stable_sort(d.begin(), d.end());
    std::function<long(const Value<N> &)> f = [&](const Value<N> &v) { return (long)v.x + (long)m.size(); };
    long sum = 0;
    for (auto &v : d)
        sum += f(v);
    for (auto &p : u)
        sum += (long)p.second.size();
    auto p = std::make_shared<std::vector<Value<N>>>(d.begin(), d.end());
    sum += (long)p->size();
    std::ostringstream o;
    o << sum << (long)s.size();
    return sum + (long)o.str().size();
}
template <int... N> long all(std::integer_sequence<int, N...>, int n) 
{
    return (work<N>(n) + ...);
}

} // namespace

extern "C" long ENTRY(int n) 
{
    std::regex r("a+b*");
    return all(std::make_integer_sequence<int, 6>(), n) + (long)std::regex_match(std::string("aab"), r);
}
