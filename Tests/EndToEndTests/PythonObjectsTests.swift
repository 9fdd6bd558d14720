// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// The interpreters of this machine: Debian's, and pyenv's where there are any. One of each minor version.
enum Pythons {
    static let all: [String] = {
        var found = [Command.python].compactMap { $0 }
        let versions = (Command.environment["PYENV_ROOT"] ?? NSHomeDirectory() + "/.pyenv") + "/versions"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: versions))?.sorted() ?? [] {
            let parts = name.split(separator: ".").compactMap { Int($0) }
            guard parts.count == 3, parts[0] == 3, (8...13).contains(parts[1]) else { continue }
            let path = "\(versions)/\(name)/bin/python3"
            if FileManager.default.isExecutableFile(atPath: path) { found.append(path) }
        }
        return found
    }()
}

/// Objects of CPython counted without leaving pymalloc: MEMTRACK_OBJECTS=1, as `memtrack-preload -o` sets it.
@Suite struct PythonObjectsTests {
    private static let population = """
        import os, signal, sys
        keep = [(i, str(i)) for i in range(50000)]
        lists = {i: [i] for i in range(1000)}
        grown = []
        for i in range(3000): grown.append(i)
        del grown[10:]; grown.clear()
        os.write(1, b"%d\\n" % sys.getallocatedblocks())
        os.kill(os.getpid(), signal.SIGKILL)
        """

    private func run(
        _ python: String, _ arguments: [String], _ environment: [String: String]
    ) throws -> (Finished, RegionSnapshot) {
        let session = try Session()
        let finished = try Command.run(
            [python] + arguments, environment: session.environment(environment))
        return (finished, try session.region())
    }

    /// The interpreter itself counts its blocks; and with PYTHONMALLOC=malloc they are malloc's, which the hooks of
    /// malloc count.
    @Test(arguments: Pythons.all)
    func countsWhatTheInterpreterCounts(_ python: String) throws {
        let seed = ["PYTHONHASHSEED": "0"]
        let (finished, wrapped) = try run(
            python, ["-S", "-c", Self.population], seed.merging(["MEMTRACK_OBJECTS": "1"]) { $1 })
        let (_, passedOn) = try run(
            python, ["-S", "-c", Self.population], seed.merging(["PYTHONMALLOC": "malloc"]) { $1 })
        let own = try #require(
            UInt64(finished.outputText.trimmingCharacters(in: .whitespacesAndNewlines)),
            "\(finished.errorText)")
        #expect(own > 150_000)
        #expect(wrapped.health.unknownFrees == 0)
        #expect(wrapped.health.untrackedBlocks == 0)
        #expect(wrapped.pythonBefore == 0)
        // What the interpreter does not count are the requests that it makes of malloc itself.
        let difference = Int(wrapped.totals.liveBlocks) - Int(own)
        #expect((0..<3_000).contains(difference), "\(wrapped.totals.liveBlocks), own count \(own)")
        let other = Int(passedOn.totals.liveBlocks)
        #expect(
            abs(Int(wrapped.totals.liveBlocks) - other) < 200, "\(wrapped.totals.liveBlocks), malloc \(other)"
        )
        #expect(wrapped.python == .ready)
        #expect(passedOn.python == .notAsked)
    }

    /// Same output, same ending: with each way to start an interpreter, and with each allocator.
    @Test(
        arguments: Pythons.all,
        [
            ["-c", "import gc, sys; print(len(sys.modules), gc.isenabled()); 1/0"],
            ["-I", "-S", "-E", "-c", "print([str(i) for i in range(1000)][-1])"],
            ["-m", "json.tool", "/dev/null"],
            ["-X", "dev", "-c", "print({i: [i] for i in range(1000)}[7])"],
            ["-c", "import memtrack; print(memtrack.value)"],
            ["mp.py"],
        ])
    func behavesTheSame(_ python: String, _ arguments: [String]) throws {
        let place = try TemporaryDirectory()
        func write(_ name: String, _ text: String) throws {
            try text.write(toFile: place.file(name), atomically: true, encoding: .utf8)
        }
        try write("memtrack.py", "value = 'a module of the user'\n")
        try write("sitecustomize.py", "raise RuntimeError('broken')\n")
        try write(
            "mp.py",
            """
            import multiprocessing
            def work(n): return len([str(i) for i in range(n)])
            if __name__ == "__main__":
                for method in ("fork", "spawn"):
                    with multiprocessing.get_context(method).Pool(2) as pool:
                        print(method, pool.map(work, [10, 20000, 30]))

            """)
        let path = ["PYTHONPATH": place.path]
        for allocator in arguments[0] == "-I" ? [nil, "debug", "malloc", "pymalloc"] : [nil] {
            var variables = path
            variables["PYTHONMALLOC"] = allocator
            let bare = try Command.run(
                [python] + arguments, environment: Command.environment.merging(variables) { $1 },
                directory: place.path)
            let session = try Session()
            variables["MEMTRACK_OBJECTS"] = "1"
            let observed = try Command.run(
                [python] + arguments, environment: session.environment(variables), directory: place.path)
            #expect(observed.end == bare.end)
            #expect(observed.outputText == bare.outputText)
            if arguments == ["mp.py"] {
                // How many helpers of multiprocessing get as far as to complain depends on the moment.
                func lines(_ run: Finished) -> Set<Substring> { Set(run.errorText.split(separator: "\n")) }
                #expect(lines(observed) == lines(bare))
            } else {
                #expect(observed.errorText == bare.errorText)
            }
            #expect(try session.regions().contains { $0.totals.allocations > 0 })
        }
    }

    @Test(arguments: Pythons.all)
    func collectionsAndTheModule(_ python: String) throws {
        let script = """
            import gc
            gc.collect(); gc.callbacks.append(lambda *_: None)
            stats = gc.get_stats()[2]["collections"]
            for i in range(7): gc.collect(2)
            class Cycle: pass
            a = Cycle(); a.me = a; del a
            gc.collect(1)
            import memtrack
            memtrack.checkpoint("loaded")
            memtrack.gauge("requests", 42)
            try: memtrack.gauge(1, 2)
            except TypeError: print("TypeError")
            """
        let (finished, region) = try run(python, ["-I", "-c", script], ["MEMTRACK_OBJECTS": "1"])
        #expect(finished.isSuccess, "\(finished.errorText)")
        #expect(finished.outputText == "TypeError\n")
        let gauges = Dictionary(region.gauges.map { ($0.name, $0.value) }) { $1 }
        #expect(gauges["requests"] == 42)
        // Finalisation collects too.
        #expect((8...11).contains(try #require(gauges["gc.gen2.collections"])))
        #expect(try #require(gauges["gc.gen1.collections"]) >= 1)
        #expect(try #require(gauges["gc.gen1.collected"]) >= 1)
        #expect(gauges["gc.gen2.uncollectable"] == 0)
        #expect(region.markers.map(\.label) == ["loaded"])
    }

    private static let bot = """
        import os, signal, sys
        class Session:
            def __init__(self, n):
                self.data = [n, n]
        def handler(cache, i):
            cache[i] = Session(i)
            return str(i + 100000) * 9
        def grow():
            return [bytearray(2000 + i) for i in range(1500)]
        def main():
            cache = {}
            kept = [handler(cache, i) for i in range(20000)]
            large = grow()
            for n in range(50): exec(f"def f{n}(): return [object() for _ in range(20)]\\ncache['x{n}'] = f{n}()")
            if "-t" in sys.argv:
                import tracemalloc
                for s in tracemalloc.take_snapshot().statistics("lineno"):
                    if s.traceback[0].filename == __file__:
                        os.write(1, b"%d %d %d\\n" % (s.traceback[0].lineno, s.count, s.size))
            os.kill(os.getpid(), signal.SIGKILL)
        main()
        """

    /// What lives, by the line of Python that allocated it, is what the interpreter's own tracemalloc says.
    @Test(arguments: Pythons.all)
    func linesAreThoseOfTracemalloc(_ python: String) throws {
        let place = try TemporaryDirectory()
        let script = place.file("bot.py")
        try Self.bot.write(toFile: script, atomically: true, encoding: .utf8)
        let traced = try Command.run([python, "-X", "tracemalloc=1", script, "-t"])
        let (_, region) = try run(python, [script], ["MEMTRACK_OBJECTS": "1"])
        var found: [Int: (blocks: Int64, bytes: Int64)] = [:]
        for cell in region.cells where cell.kind == .site {
            guard let node = region.nodes[Int(cell.stack)], let index = node.module,
                let module = region.modules[index], module.isPython, module.path.hasSuffix("\n" + script)
            else { continue }
            found[Int(node.address), default: (0, 0)].blocks += cell.counters.liveBlocks
            found[Int(node.address), default: (0, 0)].bytes += cell.counters.liveBytes
        }
        var compared = 0
        for line in traced.outputText.split(separator: "\n") {
            let own = line.split(separator: " ").compactMap { UInt64($0) }
            try #require(own.count == 3)
            guard own[1] >= 1000 else { continue }
            let ours = found[Int(own[0])] ?? (blocks: 0, bytes: 0)
            compared += 1
            // An object that comes off a free list has a new line in tracemalloc; its block is the old one.
            #expect(
                abs(Int(ours.blocks) - Int(own[1])) <= 20 + Int(own[1]) / 100,
                "line \(own[0]): \(ours), tracemalloc \(own)")
            let ratio = Double(ours.bytes) / Double(own[2])
            #expect(abs(ratio - 1) < 0.01, "line \(own[0]): \(ours), tracemalloc \(own)")
        }
        #expect(compared >= 4, "\(traced.outputText)\(traced.errorText)")
        // Code objects come and go at one address: each call is told from the others.
        let functions = Set(region.modules.values.filter(\.isPython).map { $0.path.prefix { $0 != "\n" } })
        #expect((0..<50).filter { n in functions.contains { $0 == "f\(n)" } }.count == 50)
    }

    private static let stacks = """
        import os, signal
        kept = []
        for n in range(60):
            scope = {}
            exec(f"def g{n}(k):\\n out = []\\n for _ in range(k):\\n  out.append(object())\\n return out", scope)
            kept.append(scope[f"g{n}"](n + 100))
            del scope
        def deep(n):
            if n: return deep(n - 1)
            return bytearray(3_000_000)
        def outer():
            yield from inner()
        def inner():
            for i in range(3):
                yield bytearray(5_000_000)
        def sequence():
            return [x for x in outer()]
        for i in range(3):
            kept.append(deep(5))
            kept.append(sorted([2, 1, 3], key=lambda n: kept.append(bytearray(7_000_000)) or n))
        kept.append(sequence())
        kept.append(deep(20))
        kept.append(deep(200))
        os.kill(os.getpid(), signal.SIGKILL)
        """

    /// Code objects come and go at one address, one function is called at many depths, frames of generators are taken up
    /// again, C code is in between: each block has the stack that it was allocated with.
    @Test(arguments: Pythons.all)
    func stacksAreExact(_ python: String) throws {
        let place = try TemporaryDirectory()
        let script = place.file("stacks.py")
        try Self.stacks.write(toFile: script, atomically: true, encoding: .utf8)
        let (_, region) = try run(python, [script], ["MEMTRACK_OBJECTS": "1"])
        #expect(region.python == .ready)
        func names(_ stack: UInt32) -> [String] {
            var found: [String] = []
            var at = Int(stack)
            while at != 0, let node = region.nodes[at] {
                let module = node.module.flatMap { region.modules[$0] }
                found.append(module.map { String($0.path.prefix { $0 != "\n" }) } ?? "?")
                at = Int(node.parent)
            }
            // Comprehensions are functions of their own up to 3.11, and names are qualified from then on.
            return found.filter { !$0.hasSuffix("<listcomp>") }.map {
                $0.split(separator: ".").last.map(String.init) ?? ""
            }
        }
        var objects: [String: Int64] = [:]
        var large: [UInt64: [(blocks: Int64, names: [String])]] = [:]
        for cell in region.cells where cell.kind == .site && cell.counters.liveBlocks > 0 {
            let stack = names(cell.stack)
            let size = UInt64(cell.counters.liveBytes / cell.counters.liveBlocks)
            if size == 16, let first = stack.first { objects[first, default: 0] += cell.counters.liveBlocks }
            if size >= 3_000_000 {
                large[size / 1_000_000, default: []].append((cell.counters.liveBlocks, stack))
            }
        }
        for n in 0..<60 { #expect(objects["g\(n)"] == Int64(n + 100), "g\(n)") }
        #expect(large[5]?.map(\.blocks) == [3])
        #expect(large[5]?.first?.names == ["inner", "outer", "sequence", "<module>"])
        #expect(large[7]?.map(\.blocks) == [9])
        #expect(large[7]?.first?.names == ["<lambda>", "<module>"])
        let depths = (large[3] ?? []).sorted { $0.names.count < $1.names.count }
        #expect(depths.map(\.blocks) == [3, 1, 1])
        #expect(depths.map { $0.names.filter { $0 == "deep" }.count } == [6, 21, 64])
        #expect(region.health.truncatedStacks > 0)
    }

    /// Without being asked nothing is done.
    @Test func onlyWhenAsked() throws {
        let python = try #require(Command.python)
        let script = "import gc, sys; print(gc.callbacks, len(sys.meta_path))"
        let bare = try Command.run([python, "-I", "-c", script])
        let (finished, region) = try run(python, ["-I", "-c", script], [:])
        #expect(finished.outputText.hasPrefix("[] "))
        #expect(finished.outputText == bare.outputText)
        #expect(region.gauges.isEmpty)
    }
}
