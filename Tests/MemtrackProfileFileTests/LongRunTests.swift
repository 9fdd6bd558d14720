// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import Testing

@testable import MemtrackProfileFile

/// A run of weeks has a companion that is read back.
@Suite struct LongRunTests {
    private static func loaded(checkpoints count: Int, peak: Int) -> LoadedProfile {
        var loaded = Fixture.loaded
        for number in 2..<count + 1 {
            let rss: UInt64 = number == peak ? 1_000_000 : 1_000 + UInt64(number % 100)
            loaded.summary.series.add(
                CheckpointSummary(
                    number: number, time: WallTime(unixSeconds: Double(number)), elapsed: Double(number),
                    figures: ProcessFigures(rss: rss, vms: 2_000, peakRSS: nil, swap: 3),
                    totals: Fixture.counters(1)))
        }
        return loaded
    }

    private static func read(_ loaded: LoadedProfile) throws -> LoadedProfile {
        let encoded = try ProfileFile.encode(loaded)
        #expect(encoded.companion.count < 8 << 20)
        return try ProfileFile.decode(
            name: "p.pb.gz", profile: encoded.profile, companion: encoded.companion,
            wrappers: WrapperMatcher())
    }

    /// A day and a half, one each second. Before, the file had 89 MB, and was left out for its size without a word.
    @Test func checkpointsAreThinnedOutEvenlyAndThatIsSaid() throws {
        let read = try Self.read(Self.loaded(checkpoints: 130_000, peak: 77_777))
        #expect(read.hasCompanion && read.companionProblem == nil)
        let numbers = read.summary.series.checkpoints.map(\.number)
        #expect((5_000...5_003).contains(numbers.count))
        #expect(numbers.first == 1 && numbers.last == 130_000)
        #expect(numbers.contains(77_777) && read.summary.series.rss.peak == 1_000_000)
        #expect(zip(numbers, numbers.dropFirst()).allSatisfy { (1...27).contains($1 - $0) })
        #expect(
            read.summary.notes.contains {
                $0.hasPrefix("Of 130000 checkpoints the file keeps \(numbers.count), evenly")
            })
        // Written again, it is the same, and says the same once.
        let again = try Self.read(read)
        #expect(again.summary.notes == read.summary.notes)
        let same = again.summary.series.checkpoints.map(\.number) == numbers
        #expect(same)
    }

    @Test func aShortRunKeepsAllOfThem() throws {
        let read = try Self.read(Self.loaded(checkpoints: 5_000, peak: 7))
        #expect(read.summary.series.checkpoints.count == 5_000 && read.summary.notes.isEmpty)
    }

    /// Whatever there is most of: what is written is never larger than what is read.
    @Test func isNeverLargerThanIsRead() throws {
        var loaded = Self.loaded(checkpoints: 100, peak: 7)
        let process = try #require(loaded.summary.processes.first)
        loaded.summary.processes = Array(repeating: process, count: 3_000)
        var companion = Companion(loaded, profileCrc32: 1)
        let bytes = try companion.encoded(limit: 200_000)
        #expect(bytes.count <= 200_000)
        let read = try #require(Companion(decoding: bytes))
        #expect(read.processes.count > 50 && read.processCount == 3_000)
        #expect(
            read.summary.notes.contains("Of 3000 processes the file keeps the first \(read.processes.count).")
        )
        companion = Companion(loaded, profileCrc32: 1)
        #expect(try companion.encoded(limit: 10).count < 10_000)
    }
}
