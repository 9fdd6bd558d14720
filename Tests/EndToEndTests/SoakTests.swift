// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// All at once for a while, with a reader attached; at the end the figures are those of the program's own ledger, and
/// of the counter behind the shim. The fixture is soak.c. SOAK_SECONDS (`make soak`) makes it longer.
@Suite struct SoakTests {
    @Test func countsEqualTheLedger() throws {
        let seconds = Int(ProcessInfo.processInfo.environment["SOAK_SECONDS"] ?? "") ?? 10
        let session = try Session(listedFor: getpid())
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let libraries = try [("one", 520), ("two", 1048)].map { name, room in
            try Compiled.fixture(
                "plugin.c", as: "plugin-" + name,
                ["-O1", "-shared", "-fPIC", "-DPLUGIN=\(name)", "-DROOM=\(room)"])
        }
        let program = try Compiled.fixture("soak.c", ["-O1"])
        let running = try Running([program, String(seconds)] + libraries, environment: environment)
        try watch(running, until: Date(timeIntervalSinceNow: Double(seconds) - 1.5))
        let finished = try running.wait(timeout: Double(seconds) + 120)
        #expect(finished.end == .exited(0), "\(finished.errorText)")
        let ledger = finished.outputText.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        try #require(ledger.count == 6)
        try CounterFile.expectEqual(session, counts)

        let region = try #require(try session.regions().first { $0.identity.origin == .exec })
        #expect(region.health.incompleteStacks == 0)
        #expect(try session.regions().count > 50)
        let file = try #require(session.files().first { $0.pid == running.pid })
        let report = try FixtureReport(region: file.path)
        func sum(_ functions: [String], _ figure: KeyPath<FixtureReport.Counters, Int>) -> Int {
            functions.flatMap { report.sites(in: $0) }.map { $0.counters[keyPath: figure] }.reduce(0, +)
        }
        let owned = ["owned_malloc", "owned_calloc", "owned_memalign", "owned_realloc"]
        #expect(owned.allSatisfy { sum([$0], \.allocations) > 100 })
        #expect(sum(owned, \.allocations) == ledger[0])
        #expect(sum(owned, \.allocatedBytes) == ledger[1])
        #expect(sum(owned, \.frees) == ledger[2])
        #expect(sum(owned, \.freedBytes) == ledger[3])
        #expect(sum(["inner_one", "inner_two"], \.allocations) == ledger[4])
        #expect(sum(["inner_one", "inner_two"], \.liveBlocks) == 0)
        #expect(sum(["handled_malloc"], \.allocations) == ledger[5])
        #expect(ledger[4] > 0 && ledger[5] > 0)
    }

    /// `memtrack report --pid` in a loop: what it shows never falls, and never more is freed than was made.
    private func watch(_ running: Running, until end: Date) throws {
        var last = 0
        var reports = 0
        usleep(300_000)
        while Date() < end {
            let run = try Command.run([try Build.reader(), "report", "--json", "--pid", "\(running.pid)"])
            try #require(run.isSuccess, "\(run.errorText)")
            let totals = try JSONDecoder().decode(FixtureReport.self, from: run.output).totals
            #expect(totals.allocations >= last)
            #expect(totals.frees <= totals.allocations)
            last = totals.allocations
            reports += 1
            usleep(50_000)
        }
        #expect(reports > 1)
        #expect(last > 1000)
    }
}
