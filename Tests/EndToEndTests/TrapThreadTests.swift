// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Many threads: banks are reused, and where there are none left threads share one. The fixture is threads.c: each
/// thread makes 10 blocks of 70 bytes and frees 7.
@Suite struct TrapThreadTests {
    private func run(_ mode: String, _ threads: Int) throws -> RegionSnapshot? {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("threads.c", ["-O1"]), mode, String(threads)], environment: environment)
        if finished.end == .exited(77) { return nil }  // a limit on threads, here
        #expect(finished.isSuccess, "\(finished.end)")
        try CounterFile.expectEqual(session, counts)
        let region = try session.region()
        let made = region.cells.filter { $0.sizeClass == SizeClass.containing(70) && $0.kind != .inherited }
        #expect(made.map(\.counters.allocations).reduce(0, +) == UInt64(threads * 10))
        #expect(made.map(\.counters.frees).reduce(0, +) == UInt64(threads * 7))
        #expect(region.health.uncountedAllocations == 0)
        return region
    }

    /// Guards the reclaiming of dead threads' banks: each costs memory, and there are 1,023 of them.
    @Test func manyShortThreads() throws {
        guard let region = try run("short", 100_000) else { return }
        #expect(region.banks <= 100)
        #expect(region.threadsSeen == 100_001)
        #expect(region.health.sharedBankCalls == 0)
    }

    @Test func manyLiveThreads() throws {
        guard let region = try run("live", 1000) else { return }
        #expect(region.banks >= 1001)
        #expect(region.health.sharedBankCalls == 0)
    }

    /// Guards the shared bank: beyond the last bank nothing is lost but the stack.
    @Test func moreThreadsThanBanks() throws {
        guard let region = try run("live", 1100) else { return }
        #expect(region.health.sharedBankCalls > 0)
        #expect(region.allocations(.noStack) > 0)
    }

    /// Guards the sharing of counters: without it these threads take a page of counters for almost every block: 27 MB.
    /// Nothing may get lost in it, and the peak is as good as that of one thread's counters.
    @Test func scatteredCounters() throws {
        let threads = 50
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("scattered.c", ["-O1"]), String(threads)], environment: environment)
        if finished.end == .exited(77) { return }
        #expect(finished.isSuccess, "\(finished.end)")
        try CounterFile.expectEqual(session, counts)
        let report = try FixtureReport(session)
        let scattered = report.sites(in: "descend").map(\.counters)
        #expect(scattered.map(\.allocations).reduce(0, +) == threads * 500)
        #expect(scattered.allSatisfy { $0.allocations == $0.frees })
        #expect(report.sites(in: "often").map { $0.counters.frees }.reduce(0, +) == threads * 1000)
        let region = try session.region()
        #expect(region.regionBytes < 12 << 20)
        #expect(abs(region.totals.peakBytes - region.recordedPeakBytes) <= Int64(region.peakSlackBytes))
        #expect(region.totals.peakBytes > Int64(threads) * 500 * 900)
    }

    /// Guards what a bank is after its thread gave it up: destructors of thread-specific data allocate and free in
    /// every round that libc runs, also after ours. The fixture is destructors.c.
    @Test func destructorsOfThreadSpecificData() throws {
        let threads = 2000
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("destructors.c", ["-O1"]), String(threads)], environment: environment)
        #expect(finished.isSuccess, "\(finished.end)")
        let ran = try #require(
            Int(finished.outputText.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(ran >= threads * 4 * 2, "the destructors ran but once: this shows nothing")
        try CounterFile.expectEqual(session, counts)
        let report = try FixtureReport(session)
        func sum(_ function: String, _ figure: KeyPath<FixtureReport.Counters, Int>) -> Int {
            report.sites(in: function).map { $0.counters[keyPath: figure] }.reduce(0, +)
        }
        #expect(sum("make_value", \.allocations) == threads * 4)
        #expect(sum("make_value", \.liveBlocks) == 0)
        #expect(sum("make_late", \.allocations) == ran)
        #expect(sum("make_late", \.liveBlocks) == threads * 4)
        let region = try session.region()
        #expect(region.health.sharedBankCalls == 0)
        #expect(region.banks <= 100)
    }
}
