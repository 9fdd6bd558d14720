// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Where type objects lie, and what stands in front of pointers to them, in interpreters of each version: Debian's is not
/// position-independent, and its static objects have addresses that could be counts of references.
@Suite struct PythonTypesTests {
    private static let pythons = Set(Pythons.all + ["/usr/bin/python3"]).sorted()

    /// A reference and a type next to each other: in lists and in dictionaries of types, and in lists with spare room, where
    /// freed numbers have left their types.
    private static let references = """
        import os, json
        class Own: pass
        def made():
            kept = [[[str, int, float] for _ in range(9000)], [[None, float, float] for _ in range(8000)]]
            kept.append([[True, Own, int] for _ in range(7000)])
            kept.append([[Own, Own, Own] for _ in range(6000)])
            kept.append([[None, None, 1, float] for _ in range(5000)])
            numbers = [i * 1.5 for i in range(30000)]
            del numbers
            grown = []
            for i in range(30000):
                one = []; one.append(None); grown.append(one)
            numbers = [i + 10**9 for i in range(30000)]
            del numbers
            for i in range(30000):
                one = []; one.append(i & 7); grown.append(one)
            kept.append(grown)
            return kept
        os.write(1, b"ready\\n"); os.read(0, 1)
        kept = made()
        os.write(1, b"made\\n"); os.read(0, 1)
        lists = sum(len(each) for each in kept)
        print("truth", json.dumps({"list": [lists], "int": [0], "float": [0], "Own": [0], "type": [0]}), flush=True)
        """

    @Test(arguments: pythons, [["MEMTRACK_OBJECTS": "1"], ["PYTHONMALLOC": "malloc"]])
    func referencesBesideTypesAreNoObjects(python: String, variables: [String: String]) throws {
        let (before, after, truth) = try Stepped.population([python, "-c", Self.references], variables)
        #expect(truth["list"] == [95_000])
        for (name, made) in truth {
            let count = after.count(name) - before.count(name)
            #expect(abs(count - made[0]) < 600, "\(name): \(count) of \(made[0])")
        }
        // The numbers of `range` and the six lists around.
        let growth = after.total("list") - before.total("list")
        #expect(growth > 95_000 * 80, "\(growth) bytes")
    }

    /// Objects that millions refer to, whatever lies at an address of that number; and text that never dies, from 3.12 on.
    @Test(arguments: pythons) func manyReferencesAreACount(python: String) throws {
        let script = """
            import ctypes, os, sys
            class Often: pass
            class Rare: pass
            often = [Often() for _ in range(64)]
            # One less once the loop goes on. Among the static objects of Debian's interpreter, where none begins.
            lowest = id(None) if id(None) < 1 << 32 else 0x900000
            for place, each in enumerate(often):
                ctypes.c_ssize_t.from_address(id(each)).value = lowest + 9 + place * 1008
            kept = [Rare() for _ in range(100)]
            names = [sys.intern("name %d" % i) for i in range(5000)]
            os.write(1, b"ready\\n"); os.read(0, 1)
            """
        let program = try Stepped([python, "-c", script], ["MEMTRACK_OBJECTS": "1"])
        _ = try program.line("ready")
        let answer = try program.types()
        #expect(answer.count("Often") == 64)
        #expect(answer.count("Rare") == 100)
        #expect(answer.count("str") > 5_000)
        #expect(try program.finish().isSuccess)
    }

    /// As numpy's classes of dtypes: static types, in memory of PyObject_Malloc, without a head of the collector's.
    @Test(arguments: Pythons.all) func staticTypesInBlocks(python: String) throws {
        let include = try Command.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])"])
        let headers = include.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
        try #require(
            FileManager.default.fileExists(atPath: headers + "/Python.h"), "no Python.h: install python3-dev")
        let library = try Compiled.fixture("static_types.c", ["-O1", "-shared", "-fPIC", "-I" + headers])
        let place = try TemporaryDirectory()
        try FileManager.default.copyItem(atPath: library, toPath: place.file("static_types.so"))
        let script = """
            import sys, os
            sys.path.insert(0, sys.argv[1])
            import static_types
            classes = static_types.make(25)
            class Holder: pass
            holders = [Holder() for _ in range(10)]
            for holder in holders: holder.made = [each() for each in classes for _ in range(8)]
            os.write(1, b"ready\\n"); os.read(0, 1)
            """
        let program = try Stepped([python, "-c", script, place.path], ["MEMTRACK_OBJECTS": "1"])
        _ = try program.line("ready")
        let answer = try program.types()
        let (meta, made) = ("static_types.ClassMeta", "static_types.Made")
        #expect(answer.count(meta) == 25)
        #expect(answer.count(made) == 2000)
        let rows = answer.types.filter { [meta, made].contains($0.name) }
        #expect(rows.allSatisfy { $0.trackedCount == 0 } && rows.count == 2, "\(rows)")
        #expect(rows.first { $0.name == made }?.bytes == 2000 * 56)
        #expect(try program.finish().isSuccess)
    }
}
