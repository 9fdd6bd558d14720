// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What a diff says of real programs: which line grew, what of a peak is sure, and what a profile without its companion, or of
/// samples, is worth.
@Suite struct DiffVerdictTests {
    private static func programs() throws -> ProfiledProgram {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["verdict.cc"], ["-O1", "-g", "-pthread"])
        try programs.compile("new", ["verdict.cc"], ["-O1", "-g", "-pthread", "-DLEAK"])
        return programs
    }

    @Test func namesTheLineThatGrew() throws {
        let programs = try Self.programs()
        let (old, new) = (try programs.profile(["old"], as: "a"), try programs.profile(["new"], as: "b"))
        for arguments in [[], ["--by", "stack"], ["--markdown"]] {
            let text = try programs.memtrack(
                ["diff", old, new, "--fail-above", "5%"] + arguments, status: 1)
            #expect(text.contains("verdict.cc:14)") && !text.contains("verdict.cc:11)"), "\(text)")
        }
    }

    /// 4 threads: the peak is known to 128 to 320 KB, as many of them as ran at a time. 800 KB more are sure, 100 KB are not.
    @Test func growthOfThePeakBeyondItsSlackIsSure() throws {
        let programs = try Self.programs()
        func run(_ keep: Int) throws -> String {
            try programs.profile(["old", "\(keep)"], as: "keep\(keep)")
        }
        let (none, some, all) = (try run(0), try run(250), try run(2_000))
        let limit = ["--sort", "peak", "--fail-above", "5%"]
        let sure = try programs.memtrack(["diff", none, all] + limit, status: 1)
        #expect(sure.contains("! size at the peak") && sure.contains("serve"), "\(sure)")
        let unsure = try programs.memtrack(["diff", none, some] + limit)
        #expect(unsure.contains("Nothing has grown by more than 5% beyond noise"), "\(unsure)")
        #expect(unsure.contains(/is known to \d+ KB only/) && unsure.contains("≈ size at the peak"))

        // The same verdicts without the companions, which are missed.
        for name in ["keep0", "keep250", "keep2000"] {
            try FileManager.default.removeItem(atPath: programs.directory.file(name + ".json"))
        }
        #expect(try programs.memtrack(["diff", none, some] + limit).contains("keep0.json is not there"))
        _ = try programs.memtrack(["diff", none, all] + limit, status: 1)
        let report = try programs.memtrack(["report", all])
        #expect(report.contains("keep2000.json is not there"))
        #expect(report.contains(/within \d+ KB of the true peak/) && !report.contains("exact"))
        #expect(report.contains("memtrack's own memory: not known"))
    }

    /// One build, counted and sampled: estimates are no growth.
    @Test func samplesAreComparedAsSamples() throws {
        let programs = try Self.programs()
        let counted = try programs.profile(["old", "2000"], as: "counted")
        for number in 1...5 {
            let sampled = try programs.profile(["old", "2000"], as: "s\(number)", ["--sample", "512K"])
            let again = try programs.profile(["old", "2000"], as: "t\(number)", ["--sample", "512K"])
            for old in [counted, again] {
                let text = try programs.memtrack(["diff", old, sampled, "--fail-above", "5%"])
                #expect(text.contains("sampled, one block in 512 KB on average"), "\(text)")
            }
        }
        let report = try programs.memtrack(["report", programs.directory.file("s1.pb.gz")])
        #expect(report.contains("too high rather than too low"))
    }
}
