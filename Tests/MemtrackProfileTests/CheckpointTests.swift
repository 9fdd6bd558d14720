// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import MemtrackSymbols
import Testing

@Suite struct CheckpointTests {
    @Test func changesAreThoseSinceTheCheckpointBefore() throws {
        var process = FakeProcess()
        let builder = ProfileBuilder { _, address in
            process.symbolize(.init(path: "", buildID: []), address)
        }
        process.allocate(["malloc", "a", "main"], bytes: 10, count: 10)
        process.allocate(["malloc", "b", "main"], bytes: 1, count: 7)
        var tracker = CheckpointTracker(
            program: "bot", pid: 1, options: .init(order: .growth, limit: 1, callers: 2))
        let first = tracker.checkpoint(
            time: WallTime(unixSeconds: 0), elapsed: 30, figures: ProcessFigures(rss: 100, vms: 1),
            profile: builder.profile(of: process.snapshot))
        let start = try #require(first.objects)
        #expect(first.number == 1 && first.interval == 30 && first.previousFigures == nil)
        #expect(start.rows.map(\.frame.function) == ["a"])
        #expect(start.liveChange == 107 && start.newAllocations == 17)
        #expect(start.remaining.count == 1 && start.remaining.counters.liveBytes == 7)

        process.allocate(["malloc", "b", "main"], bytes: 1, count: 5)
        process.allocate(["malloc", "a", "main"], bytes: 10, count: 2, freed: 3)
        let second = tracker.checkpoint(
            time: WallTime(unixSeconds: 0), elapsed: 40, figures: ProcessFigures(rss: 90, vms: 1),
            profile: builder.profile(of: process.snapshot))
        let next = try #require(second.objects)
        #expect(second.number == 2 && second.interval == 10 && second.previousFigures?.rss == 100)
        #expect(next.rows.map(\.frame.function) == ["b"])
        #expect(next.rows.map(\.liveChange) == [5] && next.rows.map(\.newAllocations) == [5])
        #expect(next.rows[0].callers.map(\.function) == ["main"])
        #expect(next.remaining.liveChange == -10 && next.remaining.newAllocations == 2)
        #expect(next.liveChange == -5 && next.newAllocations == 7)

        var series = Series()
        series.add(first)
        series.add(second)
        #expect(series.rss.start == 100 && series.rss.end == 90 && series.rss.peak == 100)
        #expect(series.rss.average == 95 && series.rss.peakNumber == 1 && series.rss.change == -10)
        #expect(series.live.start == 107 && series.live.end == 102 && series.live.average == 105)
        #expect(series.checkpoints.map(\.number) == [1, 2])
    }

    /// Of a damaged region.
    @Test(arguments: [Int64.max, .min, .max - 1])
    func averageOfAnything(_ value: Int64) {
        var series = Series()
        var totals = Counters()
        totals.allocatedBytes = UInt64(bitPattern: value)
        for number in 1...2 {
            series.add(
                CheckpointSummary(
                    number: number, time: WallTime(unixSeconds: 0), elapsed: 1, figures: nil, totals: totals))
        }
        #expect(series.live.start == value)
        #expect((series.live.average < 0) == (value < 0))
    }

    @Test func filterSplitsSitesInThree() throws {
        var process = FakeProcess()
        for name in ["app_a", "app_b", "lib_c", "lib_d", "lib_e"] {
            process.allocate(["malloc", name], bytes: 1, count: 1)
        }
        var tracker = CheckpointTracker(
            program: "bot", pid: 1, options: .init(filter: try SiteFilter("^app_"), limit: 1))
        let objects = try #require(
            tracker.checkpoint(
                time: WallTime(unixSeconds: 0), elapsed: 1, figures: nil, profile: process.profile()
            ).objects)
        #expect(objects.rows.map(\.frame.function) == ["app_a"])
        #expect(objects.remaining.count == 1 && objects.filtered.count == 3)
        #expect(objects.totals.allocations == 5 && objects.filter == "^app_")
    }

    @Test func withoutObjects() {
        var tracker = CheckpointTracker(program: "bot", pid: 1)
        let checkpoint = tracker.checkpoint(
            time: WallTime(unixSeconds: 0), elapsed: 1, figures: nil, profile: nil)
        #expect(checkpoint.objects == nil)
        var series = Series()
        series.add(checkpoint)
        #expect(series.live.count == 0 && series.rss.average == 0 && series.checkpoints.count == 1)
    }

    @Test func calendarAgreesWithFoundation() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: -12_600))
        for step in 0..<4_000 {
            let seconds = -30_000_000_000.0 + Double(step) * 17_345_678.75
            let parts = calendar.dateComponents(
                [.year, .month, .day, .hour, .minute, .second], from: Date(timeIntervalSince1970: seconds))
            // Foundation switches to the Julian calendar before 1582.
            guard let year = parts.year, year > 1582 else { continue }
            let mine = WallTime(unixSeconds: seconds, utcOffsetSeconds: -12_600).components
            #expect(
                [mine.year, mine.month, mine.day, mine.hour, mine.minute, mine.second]
                    == [year, parts.month, parts.day, parts.hour, parts.minute, parts.second])
        }
        #expect(WallTime(unixSeconds: .nan).components.year == 1970)
        #expect(WallTime(unixSeconds: .infinity).components.year == 1970)
        #expect(WallTime(unixSeconds: 1e300).components.year == 9999)
    }

    @Test func shareOfMemory() {
        #expect(ProcessFigures(rss: 5, vms: 9, totalRAM: 20).ramShare == 0.25)
        #expect(ProcessFigures(rss: 5, vms: 9).ramShare == nil)
        #expect(ProcessFigures(rss: 5, vms: 9, childrenRSS: 3).totalRSS == 8)
    }
}
