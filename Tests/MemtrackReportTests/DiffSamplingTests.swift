// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import Testing

@testable import MemtrackReport

/// Estimates from samples are compared as such, and that is said.
@Suite struct DiffSamplingTests {
    /// A program with so many live blocks of 100 bytes in two places, as counted or as estimated.
    private static func run(
        _ name: String, _ kept: [UInt64], freed: UInt64 = 0, period: UInt64? = nil, exact: UInt64? = nil
    ) -> LoadedProfile {
        var fixture = Fixture()
        for (function, count) in zip([Fixture.reply, Fixture.load], kept) where count > 0 {
            fixture.allocate(
                [function, Fixture.main], bytes: 100, count: count + freed, freed: freed, peak: Int64(count))
        }
        var profile = fixture.profile()
        profile.peak = Peak(slackBytes: 0)
        if let period {
            var counters = Counters()
            counters.allocations = exact ?? 0
            counters.allocatedBytes = (exact ?? 0) * 100
            let share = SizeClassShare(sizeClass: SizeClass.containing(100), counters: counters)
            profile.sampling = Sampling(periodBytes: period, exact: exact == nil ? [] : [share])
        }
        let summary = SessionSummary(
            program: "bot", pid: 1, commandLine: [], host: "", start: WallTime(unixSeconds: 0),
            duration: 1, ending: .exited(status: 0), profile: profile)
        return LoadedProfile(name: name, summary: summary)
    }

    private static func text(_ old: LoadedProfile, _ new: LoadedProfile) throws -> String {
        var options = DiffOptions()
        options.limits = [try #require(DiffLimit("5%"))]
        return DiffText.render(
            ProfileDiff(old: [old], new: [new], by: .site), types: .failure(.bothSides),
            DiffTitle([old], [new]), layout: Layout(width: 120), options: options)
    }

    /// One block was sampled where 759 are live: +555 %, which is the error of the estimate.
    @Test func anEstimateIsNoGrowthOfWhatWasCounted() throws {
        let (old, new) = (Self.run("a", [759]), Self.run("s.pb.gz", [5_243], period: 512 << 10, exact: 759))
        for unit in DiffUnit.allCases {
            let diff = ProfileDiff(old: [old], new: [new], by: unit)
            #expect(diff.rows.count == 1)
            for changes in [diff.totals, diff.rows[0].changes] {
                #expect(changes[.inuseSpace]?.noise == .sampling, "\(unit)")
                #expect(changes[.peakSpace]?.noise == .sampledPeak)
                #expect((changes[.inuseSpace]?.standardError ?? 0) > 500_000)
            }
            // All that were counted one by one are compared, not those that were estimated.
            #expect(diff.totals[.allocObjects]?.change == 0 && diff.totals[.allocObjects]?.standardError == 0)
        }
        let text = try Self.text(old, new)
        #expect(text.contains("s.pb.gz was sampled, one block in 512 KB on average: figures are"))
        #expect(text.contains("Allocations in total are exact."))
        #expect(text.contains("were not sampled alike"))
        #expect(text.contains("Nothing has grown by more than 5% beyond noise"), "\(text)")
        #expect(text.contains("not closer than three standard errors"))
        #expect(text.contains("live size   ± ") && !text.contains("size at the peak   ± "))
    }

    /// A place of which nothing was sampled may be there all the same.
    @Test func whatWasNotSampledIsNotNew() throws {
        let (old, new) = (Self.run("s", [50_000, 0], period: 512 << 10), Self.run("a", [50_000, 900]))
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        let row = try #require(diff.rows.first { $0.kind == .new })
        #expect(row.change(.inuseSpace).noise == .sampling && row.change(.allocObjects).noise == .sampling)
        #expect(diff.offenders([try #require(DiffLimit("1%"))], chosen: nil).isEmpty)
    }

    @Test func growthBeyondTheErrorIsFound() throws {
        let (old, new) = (
            Self.run("a", [100_000, 50_000], period: 65_536),
            Self.run("b", [400_000, 50_000], period: 65_536)
        )
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        let found = diff.offenders([try #require(DiffLimit("5%"))], chosen: nil)
        #expect(found.count == 2 && found.allSatisfy { !$0.change.isNoise })
        #expect(diff.totals[.peakSpace]?.noise == nil)
        let text = try Self.text(old, new)
        #expect(text.contains("a and b were sampled") && !text.contains("alike"))
        #expect(!text.contains("in total are exact"))
    }

    @Test func withoutSamplesNothingIsSaid() throws {
        let text = try Self.text(Self.run("a", [100]), Self.run("b", [200]))
        #expect(!text.contains("sampled") && !text.contains("±"))
    }

    /// The peak of estimates has no error of its own: it is said to be too high.
    @Test func thePeakOfSamplesHasNoErrorButAWord() throws {
        let summary = Self.run("a", [100_000, 50_000], freed: 10, period: 65_536, exact: 150_020).summary
        let text = FinalReport.render(summary, layout: Layout(width: 120))
        let lines = text.split(separator: "\n")
        let peak = try #require(lines.first { $0.contains("  peak ") })
        #expect(peak.contains("too high rather than too low") && !peak.contains("±"))
        let start = try #require(lines.firstIndex { $0.contains("Live at the peak") })
        #expect(!lines[start + 1].contains("±"), "\(lines[start + 1])")
        let live = try #require(lines.first { $0.contains("  live at exit ") })
        #expect(live.contains("estimated, ± "))
    }
}
