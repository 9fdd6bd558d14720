// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import Testing

@testable import MemtrackReport

/// What of a change is sure, and what may as well be none.
@Suite struct DiffNoiseTests {
    /// A program that keeps `kept` bytes in one place, `recorded` of them at its recorded peak.
    private static func run(_ name: String, peak recorded: Int64, slack: UInt64?) -> LoadedProfile {
        var fixture = Fixture()
        fixture.allocate([Fixture.reply, Fixture.main], bytes: 1_000, count: 600, peak: recorded / 1_000)
        var profile = fixture.profile()
        profile.peak = Peak(slackBytes: slack)
        profile.shim.threadsSeen = 4
        let summary = SessionSummary(
            program: "bot", pid: 1, commandLine: [], host: "", start: WallTime(unixSeconds: 0),
            duration: 1, ending: .exited(status: 0), profile: profile)
        return LoadedProfile(name: name, summary: summary)
    }

    private static func texts(
        _ old: LoadedProfile, _ new: LoadedProfile, _ limits: [String]
    ) -> (text: String, markdown: String) {
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        var options = DiffOptions()
        options.limits = limits.compactMap { DiffLimit($0) }
        let title = DiffTitle([old], [new])
        let types = TypeDiffResult.failure(.bothSides)
        return (
            DiffText.render(diff, types: types, title, layout: Layout(width: 120), options: options),
            DiffMarkdown.render(diff, types: types, title, options: options)
        )
    }

    /// The true peak is in [recorded, recorded + slack]: only the slack of the side that was smaller counts.
    @Test(
        arguments: [
            (76_000, 320_000, 419_000, 320_000, nil), (76_000, 320_000, 396_000, 320_000, .peak),
            (76_000, 320_000, 397_000, 900_000, nil), (419_000, 320_000, 76_000, 320_000, nil),
            (419_000, 900_000, 76_000, 343_000, .peak), (419_000, 900_000, 76_000, 342_000, nil),
            (76_000, nil, 77_000, nil, nil), (76_000, 0, 77_000, 0, nil), (76_000, 1_000, 76_000, 0, nil),
        ] as [(Int64, UInt64?, Int64, UInt64?, DiffNoise?)])
    func aChangeBeyondTheSlackOfTheSmallerSideIsSure(
        old: Int64, oldSlack: UInt64?, new: Int64, newSlack: UInt64?, noise: DiffNoise?
    ) throws {
        let diff = ProfileDiff(
            old: [Self.run("a", peak: old, slack: oldSlack)],
            new: [Self.run("b", peak: new, slack: newSlack)], by: .site)
        #expect(diff.totals[.peakSpace]?.noise == noise)
        #expect(diff.rows.first?.change(.peakSpace).noise == noise)
        #expect(diff.totals[.inuseSpace]?.noise == nil)
    }

    @Test func aSureGrowthOfThePeakFails() throws {
        let (old, new) = (
            Self.run("a", peak: 76_000, slack: 320_000), Self.run("b", peak: 419_000, slack: 320_000)
        )
        let limit = try #require(DiffLimit("5%"))
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        #expect(diff.offenders([limit], chosen: nil).count == 2)
        #expect(diff.suspects([limit], chosen: nil).isEmpty)
        #expect(Self.texts(old, new, ["5%"]).text.contains("Grown by more than 5%"))
    }

    /// What is beyond a limit but within noise is named, with the reason: the last line does not contradict the table.
    @Test func growthWithinNoiseIsSaidWithItsCause() throws {
        let (old, new) = (
            Self.run("a", peak: 76_000, slack: 327_680), Self.run("b", peak: 276_000, slack: 327_680)
        )
        let (text, markdown) = Self.texts(old, new, ["5%"])
        for text in [text, markdown] {
            #expect(text.contains("Nothing has grown by more than 5% beyond noise"), "\(text)")
            #expect(text.contains("the peak of a program with 4 threads is known to 320 KB only"))
            let plain = text.split(separator: "\n").filter {
                $0.contains("size at the peak: 74.22 KB → 269.53 KB")
            }
            #expect(plain.count == 2, "\(text)")
            #expect(plain.last?.contains("Session::reply(int)") ?? false)
        }
        let calm = Self.texts(old, old, ["5%"])
        #expect(calm.text.contains("Nothing has grown by more than 5%\n"))
        #expect(calm.markdown.contains("Nothing has grown by more than 5%.\n"))
    }

    @Test func whatIsNotKnownOfTheProfilesIsSaid() {
        var alone = Self.run("alone.pb.gz", peak: 76_000, slack: nil)
        alone.companionProblem = "alone.json is not there: nothing is known of processes."
        let (text, markdown) = Self.texts(alone, Self.run("b", peak: 76_000, slack: 0), [])
        for text in [text, markdown] {
            #expect(text.contains("alone.json is not there"))
            #expect(text.contains("How exact the peak is, is not known of alone.pb.gz"))
        }
    }
}
