// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Sizes of CPython's objects against what the interpreter says of the same objects at the same point, and against
/// pympler, which adds up an object and all that it alone leads to.
@Suite struct PythonSizeTests {
    /// Objects of each type in many sizes, made between two looks. Their elements are there before. No `int`: results of
    /// arithmetic have room for a digit more than the interpreter tells.
    private static let script = """
        import collections, gc, json, os, sys
        texts = [str(i) for i in range(300, 500)]
        ballast = [list(texts) for _ in range(50)]
        class Plain:
            def __init__(self, n):
                self.a = self.b = n
        class Slotted:
            __slots__ = ("a", "b")
        def grown(n):
            result = []
            for text in texts[:n]: result.append(text)
            return result
        def population():
            made = {}
            sizes = [i % 90 for i in range(3000)]
            made["dict"] = [dict.fromkeys(texts[:n]) for n in sizes] + [{text: 1} for text in texts]
            made["list"] = [grown(n) for n in sizes] + [texts[:n] for n in sizes] + [[n] for n in sizes]
            made["str"] = [chr(c) * (i % 70 + 2) + str(i) for c in (65, 233, 20000, 128512) for i in range(1000)]
            made["tuple"] = [tuple(texts[:n + 1]) for n in sizes]
            made["set"] = [set(texts[:n]) for n in sizes]
            made["frozenset"] = [frozenset(texts[:n + 1]) for n in sizes]
            made["bytes"] = [bytes(n + 2) for n in sizes]
            made["bytearray"] = [bytearray(n) for n in sizes]
            made["float"] = [n / 7 for n in range(3000)]
            made["collections.deque"] = [collections.deque(texts[:n]) for n in sizes]
            made["Slotted"] = [Slotted() for _ in sizes]
            return made
        def truth(made):
            size = sys.getsizeof
            if sys.argv[1:] == ["pympler"]:
                from pympler.asizeof import flatsize as size
            return {name: [len(objects), sum(map(size, objects))] for name, objects in made.items()}
        warm = population(); truth(warm); json.dumps(truth(warm)); del warm
        gc.collect(); gc.disable()
        print("ready", flush=True)
        os.read(0, 1)
        made = population()
        print("made", flush=True)
        os.read(0, 1)
        # The table of what is made is itself a dict of lists.
        made["list"] += list(made.values()); made["dict"].append(made)
        print("truth", json.dumps(truth(made)), flush=True)
        """

    private static func compare(_ command: [String], _ variables: [String: String]) throws {
        let (before, after, truth) = try Stepped.population(
            command, variables)
        #expect(truth.count == 11)
        for (name, figures) in truth.sorted(by: { $0.key < $1.key }) {
            let count = after.count(name) - before.count(name)
            #expect(abs(count - figures[0]) <= figures[0] / 500, "\(name): \(count) of \(figures[0])")
            let ratio = Double(after.total(name) - before.total(name)) / Double(figures[1])
            #expect(abs(ratio - 1) < 0.01, "\(name): \(ratio) of \(figures[1])")
        }
    }

    @Test(arguments: Pythons.all) func sizesAreTheInterpreters(_ python: String) throws {
        try Self.compare([python, "-c", Self.script], ["MEMTRACK_OBJECTS": "1"])
    }

    @Test func sizesAreTheInterpretersUnderMalloc() throws {
        try Self.compare([try #require(Command.python), "-c", Self.script], ["PYTHONMALLOC": "malloc"])
    }

    @Test func sizesArePymplers() throws {
        let python = Build.root + "/build/test-venv/bin/python"
        try #require(FileManager.default.isExecutableFile(atPath: python), "make test-deps installs pympler")
        try Self.compare([python, "-c", Self.script, "pympler"], ["MEMTRACK_OBJECTS": "1"])
    }
}
