// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// An interpreter that was up before the library: what it has made by then is before tracking, and counted as that;
/// everything since is tracked.
@Suite struct PythonLateTests {
    private static let script = """
        import os
        class Kept: pass
        kept = [Kept() for _ in range(5000)]
        kept += [f(3) for f in early]
        early.clear(); del scope
        for n in range(60):
            scope = {}
            exec(f"def g{n}(k):\\n out = []\\n for _ in range(k):\\n  out.append(object())\\n return out", scope)
            kept.append(scope[f"g{n}"](n + 100))
        print("ready", flush=True)
        os.read(0, 1)
        """

    /// The program, and the variables that it needs.
    private static func build(_ python: String) throws -> (program: String, variables: [String: String]) {
        func ask(_ command: [String]) throws -> [String] {
            let said = try Command.run(command)
            guard said.isSuccess else { throw HarnessError("\(command): \(said.errorText)") }
            return said.outputText.split(whereSeparator: \.isWhitespace).map(String.init)
        }
        let directory = URL(fileURLWithPath: python).deletingLastPathComponent().path
        let config = directory + "/python3-config"
        let home = try ask([python, "-c", "import sys; print(sys.prefix)"])[0]
        let flags = try ask([config, "--includes"]) + ask([config, "--embed", "--ldflags"])
        let library = try Compiled.fixture(
            "late.c", ["-shared", "-fPIC", "-DLIBRARY", "-Wl,-rpath,\(home)/lib"] + flags)
        let program = try Compiled.fixture(
            "late.c", [library, "-Wl,-rpath,\(home)/lib", "-Wl,-rpath-link,\(home)/lib"])
        return (program, ["PYTHONHOME": home])
    }

    @Test(arguments: Pythons.all) func isTrackedFromThen(_ python: String) throws {
        var (program, variables) = try Self.build(python)
        variables["MEMTRACK_OBJECTS"] = "1"
        let stepped = try Stepped([program, Self.script], variables)
        _ = try stepped.line("ready")
        let answer = try stepped.types()
        let region = try RegionFile(path: stepped.region).snapshot()
        #expect(try stepped.finish().isSuccess)
        #expect(region.python == .ready)
        #expect(region.pythonBefore > 5_000)
        // Some of them have gone since.
        #expect(region.health.unknownFrees > 0 && region.health.unknownFrees < region.pythonBefore)
        #expect(answer.count("Kept") == 5_000)
        // The code of functions made before has gone: what stands at its addresses is not taken for it.
        var objects: [String: Int64] = [:]
        for cell in region.cells where cell.kind == .site && cell.counters.liveBlocks > 0 {
            guard let node = region.nodes[Int(cell.stack)], let index = node.module,
                let module = region.modules[index], module.isPython,
                cell.counters.liveBytes == 16 * cell.counters.liveBlocks
            else { continue }
            objects[String(module.path.prefix { $0 != "\n" }), default: 0] += cell.counters.liveBlocks
        }
        for n in 0..<60 {
            #expect(objects["e\(n)"] == 3, "e\(n)")
            #expect(objects["g\(n)"] == Int64(n + 100), "g\(n)")
        }
    }

    @Test func theReportSaysSo() throws {
        let (program, variables) = try Self.build(try #require(Command.python))
        let place = try TemporaryDirectory()
        let (json, saved) = (place.file("report.json"), place.file("saved.pb.gz"))
        let run = try Command.run(
            [try Build.launcher(), "-o", "--no-history", "-i", "0", "--json", json, "--output", saved]
                + [program, "print(len(early))"],
            environment: Command.environment.merging(variables.merging(["COLUMNS": "200"]) { $1 }) { $1 })
        #expect(run.isSuccess && run.outputText == "60\n", "\(run.errorText)")
        let text = run.errorText.replacing(/\s+/, with: " ")
        let sentence = /Before tracking: [\d,]+ small blocks, made by the interpreter before/
        #expect(text.contains(sentence), "\(text)")
        let before = try Report(Data(contentsOf: URL(fileURLWithPath: json))).health["pythonBefore"] ?? 0
        #expect(before > 5_000)
        let again = try Command.run([try Build.reader(), "report", saved, "--json"])
        #expect(try Report(again.output).health["pythonBefore"] == before)
    }

    /// One whose allocator was chosen otherwise is left alone, and named.
    @Test func anotherAllocatorIsLeftAlone() throws {
        var (program, variables) = try Self.build(try #require(Command.python))
        variables.merge(["MEMTRACK_OBJECTS": "1", "PYTHONMALLOC": "debug"]) { $1 }
        let session = try Session()
        let run = try session.run([program, "print(len(early))"], variables)
        #expect(run.isSuccess && run.outputText == "60\n", "\(run.errorText)")
        #expect(try session.region().python == .unknown && session.region().pythonBefore == 0)
    }
}
