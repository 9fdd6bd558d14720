// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// A Python extension in C++, loaded with RTLD_LOCAL, so that operator new is found by nobody but the shim.
@Suite struct PythonExtensionTests {
    @Test func isCountedAndUnharmed() throws {
        let python = try #require(Command.python)
        let include = try Command.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])"])
        let headers = include.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
        try #require(
            FileManager.default.fileExists(atPath: headers + "/Python.h"), "no Python.h: install python3-dev")
        let library = try Compiled.fixture("extension.cpp", ["-O1", "-shared", "-fPIC", "-I" + headers])
        let place = try TemporaryDirectory()
        try FileManager.default.copyItem(atPath: library, toPath: place.file("extension.so"))
        let script =
            "import sys; sys.path.insert(0, sys.argv[1]); import extension; print(extension.work(10000))"
        let command = [python, "-c", script, place.path]
        let bare = try Command.run(command)
        #expect(bare.outputText == "10\n")

        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(command, environment: environment)
        #expect(finished.end == bare.end)
        #expect(finished.output == bare.output)
        #expect(finished.errors == bare.errors)
        try CounterFile.expectEqual(session, counts)
        let kept = try FixtureReport(session).sites(in: "keep")
        #expect(kept.map(\.counters.liveBlocks).reduce(0, +) == 200)
    }
}
