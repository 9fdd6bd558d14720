// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// What C code that Python called allocates of malloc: C's frames down to the interpreter, and then Python's.
@Suite struct PythonMergedStackTests {
    private static let script = """
        import ctypes, os, signal, sys, threading, zlib
        def bind(library):
            library.malloc.restype = ctypes.c_void_p
            library.malloc.argtypes = [ctypes.c_size_t]
            return library.malloc
        # The one keeps the lock of the interpreter while C runs, the other does not.
        held, released = bind(ctypes.PyDLL(None)), bind(ctypes.CDLL(None))
        def call(function, size):
            return function(size)
        def first(n):
            return call(held, n)
        def second(n):
            return call(held, n)
        def packers(n):
            made = []
            for _ in range(n):
                made.append(zlib.compressobj(9))
            return made
        kept = packers(20)
        for n in range(3):
            first(4_000_001)
            second(4_000_001)
            call(released, 5_000_001)
        thread = threading.Thread(target=first, args=(6_000_001,))
        thread.start()
        thread.join()
        os.kill(os.getpid(), signal.SIGKILL)
        """

    private struct Stack {
        var blocks: Int64
        /// Objects that C frames are in, innermost first.
        var native: [String]
        /// Python functions further out.
        var python: [String]
        /// C frames further out than those.
        var beyond: Int
    }

    private func run(_ python: String, _ stacks: String) throws -> (Session, [UInt64: [Stack]]) {
        let session = try Session()
        let place = try TemporaryDirectory()
        let file = place.file("merged.py")
        try Self.script.write(toFile: file, atomically: true, encoding: .utf8)
        let variables = ["MEMTRACK_OBJECTS": "1", "MEMTRACK_PYTHON_STACKS": stacks]
        let finished = try Command.run([python, file], environment: session.environment(variables))
        #expect(finished.errorText.isEmpty, "\(finished.errorText)")
        let region = try session.region()
        var found: [UInt64: [Stack]] = [:]
        for cell in region.cells where cell.kind == .site && cell.counters.liveBlocks > 0 {
            let size = UInt64(cell.counters.liveBytes / cell.counters.liveBlocks)
            guard size > 4_000_000 else { continue }
            var stack = Stack(blocks: cell.counters.liveBlocks, native: [], python: [], beyond: 0)
            var at = Int(cell.stack)
            while at != 0, let node = region.nodes[at] {
                at = Int(node.parent)
                guard let module = node.module.flatMap({ region.modules[$0] }) else { continue }
                if module.isPython {
                    stack.python.append(String(module.path.prefix { $0 != "\n" }))
                } else if stack.python.isEmpty {
                    stack.native.append(module.path.split(separator: "/").last.map(String.init) ?? "")
                } else {
                    stack.beyond += 1
                }
            }
            found[size, default: []].append(stack)
        }
        return (session, found)
    }

    @Test(arguments: Pythons.all) func callsIntoC(_ python: String) throws {
        let (session, stacks) = try run(python, "1")
        let all = stacks.values.flatMap { $0 }
        for stack in all {
            #expect(stack.native.contains { $0.hasPrefix("_ctypes.") }, "\(stack.native)")
            #expect(!stack.native.contains { $0.hasPrefix("python") || $0.hasPrefix("libpython") })
            #expect(stack.beyond == 0)
        }
        // One and the same native stack, and two of Python.
        let held = (stacks[4_000_001] ?? []).sorted { $0.python.joined() < $1.python.joined() }
        #expect(held.map(\.python) == [["call", "first", "<module>"], ["call", "second", "<module>"]])
        #expect(held.map(\.blocks) == [3, 3])
        #expect(stacks[5_000_001]?.map(\.python) == [["call", "<module>"]])
        #expect(stacks[5_000_001]?.map(\.blocks) == [3])
        let threads = (stacks[6_000_001] ?? []).map { $0.python.prefix(2) }
        #expect(threads == [["call", "first"]])

        let packers = try FixtureReport(session).sites(in: "deflateInit2_")
        #expect(packers.map(\.counters.liveBlocks).reduce(0, +) >= 80)
        for site in packers {
            let names = site.stack.map(\.function)
            #expect(names.suffix(2) == ["packers", "<module>"], "\(names)")
            #expect(!names.contains { $0.hasPrefix("_PyEval") })
        }
    }

    /// --native
    @Test func cFramesAlone() throws {
        let (_, stacks) = try run(try #require(Command.python), "0")
        let held = try #require(stacks[4_000_001])
        #expect(held.map(\.blocks).reduce(0, +) == 6)
        for stack in held {
            #expect(stack.python.isEmpty)
            #expect(stack.native.contains { $0.hasPrefix("python") || $0.hasPrefix("libpython") })
        }
    }
}
