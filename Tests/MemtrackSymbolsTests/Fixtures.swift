// SPDX-License-Identifier: Apache-2.0

import Foundation
import MemtrackSymbols

/// A directory of its own for one test, removed with it.
final class Workshop {
    let directory: String

    init() throws {
        var template = Array((NSTemporaryDirectory() + "/memtrack-symbols-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw CommandError(text: "mkdtemp failed") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: directory)
    }

    func path(_ name: String) -> String { directory + "/" + name }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try text.write(toFile: path(name), atomically: false, encoding: .utf8)
        return path(name)
    }

    /// Runs a command inside the directory; its standard output. Throws on failure.
    @discardableResult
    func run(_ command: [String]) throws -> String {
        try runCommand(command, in: directory)
    }

    /// The same with a command line without quoting.
    @discardableResult
    func run(_ line: String) throws -> String {
        try run(line.split(separator: " ").map(String.init))
    }
}

struct CommandError: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}

func runCommand(_ command: [String], in directory: String, input: String = "") throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.currentDirectoryURL = URL(fileURLWithPath: directory)
    // Through files: pipes would need threads to be filled and emptied at once.
    let name = directory + "/" + UUID().uuidString
    defer { for suffix in [".in", ".out"] { try? FileManager.default.removeItem(atPath: name + suffix) } }
    try input.write(toFile: name + ".in", atomically: false, encoding: .utf8)
    _ = FileManager.default.createFile(atPath: name + ".out", contents: nil)
    process.standardInput = FileHandle(forReadingAtPath: name + ".in")
    process.standardOutput = FileHandle(forWritingAtPath: name + ".out")
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
        throw CommandError(text: "\(command.joined(separator: " ")): status \(process.terminationStatus)")
    }
    return String(decoding: try Data(contentsOf: URL(fileURLWithPath: name + ".out")), as: UTF8.self)
}

func hasTool(_ name: String) -> Bool {
    (try? runCommand(["sh", "-c", "command -v \(name)"], in: NSTemporaryDirectory())) != nil
}

/// A function symbol as nm(1) tells it.
struct Symbol {
    var name: String
    var start: UInt64
    var size: UInt64
}

/// Function symbols with a size, in ascending order.
func functionSymbols(of file: String, dynamic: Bool = false) throws -> [Symbol] {
    let options = dynamic ? ["-D"] : []
    let text = try runCommand(["nm", "-S", "--defined-only"] + options + [file], in: NSTemporaryDirectory())
    return text.split(separator: "\n").compactMap { line -> Symbol? in
        let fields = line.split(separator: " ", maxSplits: 3)
        guard fields.count == 4, "tTwWi".contains(fields[2]), let start = UInt64(fields[0], radix: 16),
            let size = UInt64(fields[1], radix: 16), size > 0
        else { return nil }
        return Symbol(name: String(fields[3]), start: start, size: size)
    }.sorted { $0.start < $1.start }
}

func address(of name: String, in file: String) throws -> UInt64 {
    guard let symbol = try functionSymbols(of: file).first(where: { $0.name == name }) else {
        throw CommandError(text: "\(file) has no function \(name)")
    }
    return symbol.start
}

/// Addresses spread over the functions of a file, the same each time.
func sampledAddresses(of file: String, count: Int) throws -> [UInt64] {
    let symbols = try functionSymbols(of: file)
    guard !symbols.isEmpty else { throw CommandError(text: "\(file) has no functions") }
    var generator = SplitMix(state: 20_240_229)
    return (0..<count).map { _ in
        let symbol = symbols[Int(generator.next() % UInt64(symbols.count))]
        return symbol.start + generator.next() % symbol.size
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

let cSource = """
    #include <stdlib.h>
    struct node { struct node *next; long value; };
    static inline __attribute__((always_inline)) void *take(size_t size)
    {
        return malloc(size);
    }
    static inline __attribute__((always_inline)) struct node *make_node(long value, struct node *next)
    {
        struct node *node = take(sizeof *node);
        node->value = value;
        node->next = next;
        return node;
    }
    __attribute__((noinline)) struct node *build(int count)
    {
        struct node *list = NULL;
        for (int i = 0; i < count; i++)
            list = make_node(i * 3, list);
        return list;
    }
    static __attribute__((noinline)) long total(struct node *list)
    {
        long sum = 0;
        for (; list; list = list->next)
            sum += list->value;
        return sum;
    }
    int main(int argc, char **argv)
    {
        struct node *list = build(argc + 10);
        return total(list) == 0 && argv != NULL;
    }
    """

let cppSource = """
    #include <algorithm>
    #include <map>
    #include <memory>
    #include <string>
    #include <vector>
    namespace shop { namespace detail {
    template <typename T> struct Shelf {
        std::vector<T> items;
        __attribute__((noinline)) void put(T item) { items.push_back(std::move(item)); }
    };
    }
    namespace {
    __attribute__((noinline)) int price(const std::string &name, int count)
    {
        return static_cast<int>(name.size()) * count;
    }
    struct Clerk {
        int seen = 0;
        __attribute__((noinline)) int serve(int x) { seen += x; return seen * 2; }
    };
    }
    class Order {
    public:
        explicit Order(std::string name) : name_(std::move(name)) {}
        __attribute__((noinline)) int cost(int count) const { return price(name_, count); }
    private:
        std::string name_;
    };
    }
    template <typename F> __attribute__((noinline)) int apply(F f, int x) { return f(x) + 1; }
    extern "C" __attribute__((noinline)) int plain_c(int x) { return x * 7; }
    static __attribute__((noinline)) int local_only(int x) { return x * 5 + 1; }
    int main(int argc, char **)
    {
        shop::detail::Shelf<std::string> shelf;
        shelf.put(std::string(static_cast<size_t>(argc) * 40, 'x'));
        std::map<int, std::unique_ptr<shop::Order>> orders;
        for (int i = 0; i < argc + 3; i++)
            orders.emplace(i, std::make_unique<shop::Order>(shelf.items[0]));
        shop::Clerk clerk;
        std::vector<int> v{3, 1, 2, argc};
        std::sort(v.begin(), v.end(), [](int a, int b) { return a > b; });
        int sum = plain_c(argc) + local_only(argc) + clerk.serve(v[0]);
        sum += apply([&](int x) { return orders[0]->cost(x); }, argc);
        struct Local {
            static __attribute__((noinline)) int twice(int x) { return x * 2 + 1; }
        };
        return (sum + Local::twice(argc)) == 12345;
    }
    """

let swiftSource = """
    final class Crate {
        var names: [String] = []
        @inline(never) func put(_ name: String) { names.append(name + "!") }
    }
    @inline(never) func fill(_ crate: Crate, count: Int) {
        for index in 0..<count { crate.put("item \\(index)") }
    }
    let crate = Crate()
    fill(crate, count: 100)
    print(crate.names.count)
    """
