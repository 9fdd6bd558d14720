// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What the reader says of the objects of programs whose population is known.
@Suite struct ObjectTypeTests {
    /// Starts a program that says "ready" and waits for its parent's word, and looks at it there.
    private func look(at command: [String], _ variables: [String: String] = [:]) throws -> TypeAnswer {
        try look(at: command, variables).answer
    }

    private func look(
        at command: [String], _ variables: [String: String]
    ) throws -> (answer: TypeAnswer, output: String) {
        let program = try Stepped(command, variables)
        _ = try program.line("ready")
        let answer = try program.types()
        let finished = try program.finish()
        #expect(finished.isSuccess, "\(finished.errorText)")
        #expect(answer.objects.changedBlocks == 0)
        #expect(answer.objects.elapsedSeconds > 0.001)
        return (answer, finished.outputText)
    }

    @Test(arguments: [["-O1"], ["-O1", "-fvisibility=hidden", "-s"], ["-O1", "-s", "-static-libstdc++"]])
    func classesOfCxx(options: [String]) throws {
        let plugin = try Compiled.fixture(
            "objects_plugin.cpp", ["-shared", "-fPIC", "-fvisibility=hidden", "-s"])
        let answer = try look(at: [try Compiled.fixture("objects.cpp", options), plugin])
        #expect(answer.count("shapes::Circle") == 1000)
        #expect(answer.count("shapes::Label") == 200)
        #expect(answer.count("shapes::Holder<long>") == 30)
        #expect(answer.count("(anonymous namespace)::Hidden") == 70)
        #expect(answer.count("shapes::Base") == 50)
        #expect(answer.count("plugin::Widget") == 90)
        #expect(answer.types.filter { $0.runtime != nil }.reduce(0) { $0 + $1.count } == 1550 + 25 + 90)
        // Vectors of 100 longs, and names of 45 characters and their NUL.
        #expect(answer.total("shapes::Holder<long>") == 30 * (32 + 800))
        #expect(answer.total("shapes::Label") == 200 * (48 + 46))
        #expect(answer.total("plugin::Widget") == 90 * (16 + 100))
        // All nodes of a list and of a tree. An array is of objects of its own.
        #expect(answer.total("shapes::Graph") == 5 * (80 + 2000 * 24 + 500 * 48))
        #expect(answer.total("shapes::Rack") == 20 * 16)
        #expect(answer.count("shapes::Named") == 200)
        #expect(answer.total("shapes::Named") == 20 * (8 + 10 * (40 + 46)))
    }

    @Test(arguments: [["-O0"], ["-O2"], ["-O2", "-s", "-static-libstdc++"]])
    func arraysOfCxx(options: [String]) throws {
        let answer = try look(at: [try Compiled.fixture("arrays.cpp", options)])
        let expected: [String: (count: Int, bytes: Int)] = [
            "Element": (1003, 1003 * 24), "Spare": (60_040, 100_064 * 24), "Big": (7, 7 * 1208),
            "Long": (90_000, 90_000 * 24), "Two": (50, 50 * 40), "Plain": (400, 400 * 16),
            "Counted": (502, 2 * 8 + 502 * 16), "Aligned": (30, 16 + 30 * 32), "Texts": (20, 8 + 20 * 40),
            "BigCounted": (9, 8 + 9 * 1208), "LongCounted": (80_000, 8 + 80_000 * 16),
            "Placed": (10, 10 * 16), "Outer": (50, 50 * 80), "Copies": (30, 30 * 160),
        ]
        for (name, expected) in expected {
            let row = try #require(answer.types.first { $0.name == name }, "\(name)")
            #expect(row.count == expected.count && row.bytes == expected.bytes, "\(row)")
        }
        #expect(answer.types.filter { $0.runtime == "C++" }.count == expected.count)
        #expect(answer.total("Texts") == 8 + 20 * (40 + 42))
    }

    /// A list is followed half a million nodes from each end. Past that what was reached stays: the rest took it back, node by
    /// node, and a list of 140,000 owned two.
    @Test func longChains() throws {
        let program = try Compiled.fixture("chain.cpp", ["-O1"])
        for (nodes, owned) in [(200_000, 200_000), (1_200_000, 2 << 19)] {
            let answer = try look(at: [program, String(nodes)])
            let row = try #require(answer.types.first { $0.name == "Chain" })
            #expect(row.ownedBlocks >= owned && row.ownedBlocks <= min(nodes, owned + 2), "\(row)")
        }
    }

    /// A program as Debian ships it, stripped: what it holds of a file is what it says itself of the same file, to Python.
    @Test func classesOfProtoc() throws {
        let place = try TemporaryDirectory()
        var text = "syntax = \"proto3\"; package big;\n"
        for number in 0..<100 {
            let fields = (1...10).map { "repeated string f\($0) = \($0);" }.joined(separator: " ")
            text += "message M\(number) { \(fields) }\n"
        }
        try text.write(toFile: place.file("big.proto"), atomically: true, encoding: .utf8)
        let described = try Command.run(
            ["protoc", "--include_source_info", "--descriptor_set_out=big.pb", "big.proto"],
            directory: place.path)
        try #require(described.isSuccess, "\(described.errorText)")
        let script = """
            from google.protobuf import descriptor_pb2
            files = descriptor_pb2.FileDescriptorSet.FromString(open("big.pb", "rb").read()).file
            print(sum(len(each.source_code_info.location) for each in files))
            """
        let told = try Command.run(["/usr/bin/python3", "-c", script], directory: place.path)
        let expected = try #require(
            Int(told.outputText.split(separator: "\n").first ?? ""), "\(told.errorText)")
        #expect(expected > 5_000)

        // It has read the file and waits for a message that does not come.
        let program = try Stepped(["protoc", "-I", place.path, "--decode=big.M0", place.file("big.proto")])
        let deadline = Date(timeIntervalSinceNow: 30)
        var answer: TypeAnswer?
        let name = "google::protobuf::SourceCodeInfo_Location"
        while Date() < deadline, answer?.count(name) != expected {
            usleep(100_000)
            answer = try? program.types()
        }
        let found = try #require(answer)
        #expect(found.count(name) == expected)
        let row = try #require(found.types.first { $0.name == name })
        // Each has a buffer, behind a head, for its path and one for its span; that of the file has an empty path.
        #expect(row.ownedBlocks == 2 * expected - 1, "\(row)")
        _ = try program.finish()
    }

    @Test(arguments: [[], ["-static-stdlib"]]) func classesOfSwift(options: [String]) throws {
        try #require(Command.has("swiftc"))
        let place = try TemporaryDirectory()
        let program = place.file("objects")
        let source = Build.root + "/Tests/Fixtures/objects.swift"
        let compiled = try Command.run(["swiftc", "-O", "-o", program, source] + options)
        try #require(compiled.isSuccess, "\(compiled.errorText)")
        let answer = try look(at: [program])
        #expect(answer.count("objects.Account") == 500)
        #expect(answer.count("objects.Box<Swift.Int>") == 300)
        #expect(answer.count("objects.Box<Swift.String>") == 120)
        #expect(answer.count("objects.Box<(Swift.Optional<Swift.Int>, Swift.Array<Swift.Double>)>") == 40)
        #expect(answer.count("objects.Box<Any.Type>") == 25)
        #expect(answer.count("objects.Box<Swift.Optional<any objects.Shape.Type>>") == 30)
        #expect(answer.count("objects.Box<(any objects.Shape).Type>") == 12)
        #expect(answer.count("objects.Fixed<3, Swift.Int>") == 64)
        #expect(answer.count("objects.Fixed<4, Swift.Int>") == 65)
        #expect(answer.count("objects.Outer.Inner") == 77)
        #expect(answer.count("objects.Secret") == 33)
        #expect(answer.count("objects.Derived<Swift.String>") == 21)
        #expect(answer.count("(box of Swift.Int)") == 120)
        #expect(answer.count("(closure context or box)") == 70)
    }

    /// The interpreter's own word for it: what its collector tracks, and the sizes it gives.
    static let script = """
        import gc, sys, json, os
        class Session:
            def __init__(self, i):
                self.id = i; self.items = [str(i) * 5] * 3; self.meta = {"a": i, "b": [i, i]}
        class Meta(type): pass
        class Made(metaclass=Meta): pass
        Long, Odd = type("L" * 3000, (), {}), type("tab\\tescape\\x1b[31m", (), {})
        named = [Long() for _ in range(60)] + [Odd() for _ in range(40)]
        kept = [Session(i) for i in range(3000)]
        made = [Made() for _ in range(77)]
        sets = [{i, str(i)} for i in range(500)] + [set(range(100))]
        tuples = [(i, [i, i]) for i in range(400)]
        def name(kind): return kind.__name__
        def truth():
            objects = gc.get_objects()
            counts, sizes = {}, {}
            for o in objects:
                n = name(type(o))
                counts[n] = counts.get(n, 0) + 1
                sizes[n] = sizes.get(n, 0) + sys.getsizeof(o)
            return counts, sizes
        truth(); gc.collect(); gc.disable()
        print("ready", flush=True)
        os.read(0, 1)
        counts, sizes = truth()
        frozen = gc.get_freeze_count()
        print(json.dumps({"counts": counts, "sizes": sizes, "frozen": frozen}))
        """

    private static let interpreters: [String] = {
        let versions = NSHomeDirectory() + "/.pyenv/versions"
        let found = ((try? FileManager.default.contentsOfDirectory(atPath: versions)) ?? []).filter {
            version in
            (8...13).contains { version.hasPrefix("3.\($0).") }
        }
        return found.sorted().map { versions + "/\($0)/bin/python3" } + [Command.python].compactMap { $0 }
    }()

    private struct Truth: Decodable {
        var counts: [String: Int]
        var sizes: [String: Int]
        var frozen: Int
    }

    @Test(arguments: interpreters, [["MEMTRACK_OBJECTS": "1"], ["PYTHONMALLOC": "malloc"]])
    func objectsOfPython(interpreter: String, variables: [String: String]) throws {
        let (answer, output) = try look(at: [interpreter, "-c", Self.script], variables)
        let line = try #require(output.split(separator: "\n").last)
        let truth = try JSONDecoder().decode(Truth.self, from: Data(line.utf8))
        var found: [String: Int] = [:]
        for type in answer.types where type.runtime == "Python" {
            let name = type.name.split(separator: ".").last.map(String.init) ?? type.name
            found[name, default: 0] += type.trackedCount
        }
        let names = Set(truth.counts.keys).union(found.filter { $0.value > 0 }.keys)
        // Tuples that the collector has set aside for good are in no list that it shows.
        for name in names {
            let expected = (truth.counts[name] ?? 0) + (name == "tuple" ? truth.frozen : 0)
            // The list and the tuple of the call that counts are made after the look.
            let slack = ["tuple", "list", "dict", "frame", "cell", "function"].contains(name) ? 4 : 0
            #expect(abs((found[name] ?? 0) - expected) <= slack, "\(name): \(found[name] ?? 0), \(expected)")
        }
        #expect(answer.count("Session") == 3000)
        #expect(answer.count("Made") == 77)
        #expect(answer.count(String(repeating: "L", count: 3000)) == 60)
        #expect(answer.count("tab\tescape\u{1b}[31m") == 40)
        for name in ["set", "list"] {
            let share = Double(answer.total(name)) / Double(try #require(truth.sizes[name]))
            #expect(abs(share - 1) < 0.01, "\(name): \(share)")
        }
    }

    /// A cache that never evicts comes first by growth.
    @Test func leakComesFirst() throws {
        let python = try #require(Command.python)
        let script = """
            import time
            class Entry:
                def __init__(self, i):
                    self.key = i
            cache = {}
            def remember():
                for i in range(2000):
                    cache[len(cache)] = Entry(i)
            for _ in range(40):
                remember()
                time.sleep(0.1)
            """
        let run = try Command.run(
            [
                try Build.launcher(), "-o", "-i", "1", "--sort", "growth", "--no-history", "-l", "3", python,
                "-c",
                script,
            ], environment: ["COLUMNS": "120"])
        #expect(run.isSuccess)
        let third = try #require(run.errorText.components(separatedBy: "Checkpoint 3").last)
        let table = try #require(third.components(separatedBy: "Objects").dropFirst().first)
        let first = table.split(separator: "\n").dropFirst(2).prefix(2).joined(separator: "\n")
        #expect(first.contains("Entry  Python"))
        #expect(first.contains("in remember (<string>:8)"))
    }

    @Test func aDeadProcessHasNoTypes() throws {
        let session = try Session()
        _ = try Command.run(["ls", "/"], environment: try session.environment())
        let name = try #require(session.directory.entries().first)
        let looked = try Command.run(
            [try Build.reader(), "objects", "--region", session.directory.file(name)])
        #expect(looked.end == .exited(1))
        #expect(looked.errorText.contains("No types for ls"))
    }
}
