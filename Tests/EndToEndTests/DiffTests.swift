// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Two builds of one program. The old one and the new one differ in optimization, debug information, names of files and order
/// of functions, and in one function that keeps what it should free.
@Suite struct DiffTests {
    private static func builds(_ old: [String], _ new: [String]) throws -> (ProfiledProgram, String, String) {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["store_old.cc", "main_old.cc"], old)
        try programs.compile("new", ["storage_new.cc", "main_new.cc"], new)
        return (programs, try programs.profile(["old"], as: "old"), try programs.profile(["new"], as: "new"))
    }

    private struct Row {
        var function: String
        var kind: String
        var isMoved: Bool
        var change: Int
    }

    private static func rows(_ programs: ProfiledProgram, _ arguments: [String]) throws -> [Row] {
        let data = Data(try programs.memtrack(["diff"] + arguments + ["--json"]).utf8)
        let diff = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        return try (diff["rows"] as? [[String: Any]] ?? []).map { row in
            let figures = try #require(row["figures"] as? [String: [String: Any]])
            return Row(
                function: row["function"] as? String ?? "", kind: row["kind"] as? String ?? "",
                isMoved: row["moved"] as? Bool ?? false,
                change: figures.values.reduce(0) { $0 + abs($1["change"] as? Int ?? 0) })
        }
    }

    @Test(arguments: [
        (["-O2", "-g"], ["-O2", "-g"]), (["-O0", "-g"], ["-O2", "-g"]), (["-O2", "-g"], ["-O0", "-g"]),
        (["-O0"], ["-O2"]), (["-O2"], ["-O0", "-g"]),
    ]) func namesTheRegressionAndNothingElse(old: [String], new: [String]) throws {
        let (programs, before, after) = try Self.builds(old, new)
        let changed = try Self.rows(programs, [before, after]).filter { $0.change != 0 }
        #expect(changed.first?.function.hasPrefix("remember") ?? false, "\(changed)")
        #expect(changed.first?.kind == "new")
        #expect(changed.count == 1, "\(changed)")
    }

    @Test func aRenamedFileIsNoNewSite() throws {
        let (programs, before, after) = try Self.builds(["-O0", "-g"], ["-O0", "-g"])
        let rows = try Self.rows(programs, [before, after])
        let moved = Set(rows.filter(\.isMoved).map { $0.function.prefix { $0 != "(" } })
        #expect(
            moved == ["fill", "make", "load", "scratch"] || moved == ["fill", "load", "scratch", "make"],
            "\(moved)")
        #expect(rows.filter { $0.kind != "both" }.count == 1)
    }

    @Test func failsAboveALimitForCI() throws {
        let (programs, before, after) = try Self.builds(["-O2", "-g"], ["-O2", "-g"])
        for limit in ["5%", "8K", "100allocs", "1000"] {
            let text = try programs.memtrack(["diff", before, after, "--fail-above", limit], status: 1)
            #expect(text.contains("Grown by more than \(limit)") && text.contains("remember"), "\(text)")
        }
        for limit in ["20%", "64K", "1M", "300allocs"] {
            let text = try programs.memtrack(["diff", before, after, "--fail-above", limit])
            #expect(text.contains("Nothing has grown by more than \(limit)"))
        }
        let markdown = try programs.memtrack(
            ["diff", before, after, "--fail-above", "8K", "--markdown"], status: 1)
        #expect(markdown.contains("**Grown by more than 8K:**") && markdown.contains("| total | old |"))
        for limit in ["x", "-5%", "5percent", ""] {
            let run = try Command.run([try Build.reader(), "diff", before, after, "--fail-above", limit])
            #expect(run.end == .exited(64), "\(limit)")
        }
    }

    @Test func countsByModuleClassAndStackToo() throws {
        let (programs, before, after) = try Self.builds(["-O2", "-g"], ["-O2", "-g"])
        for (unit, part) in [("module", "/new"), ("class", "64-79 B"), ("stack", "remember")] {
            let text = try programs.memtrack(["diff", before, after, "--by", unit])
            let first = text.split(separator: "\n").drop {
                !$0.contains(/(live|peak|allocs|allocated) change/)
            }.dropFirst().first
            #expect(first?.contains(part) ?? false, "\(unit): \(text)")
        }
    }

    /// One build, twenty times: nothing to report, ever.
    @Test func repeatedRunsGiveNoAlarm() throws {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["store_old.cc", "main_old.cc"], ["-O2", "-g"])
        let first = try programs.profile(["old"], as: "run0")
        for number in 1..<20 {
            let other = try programs.profile(["old"], as: "run\(number)")
            _ = try programs.memtrack([
                "diff", first, other, "--fail-above", "1%", "--fail-above", "1K", "--fail-above", "10allocs",
            ])
        }
    }

    /// The runs of one side differ by more than the sides do: noise. The regression stands out all the same.
    @Test func severalRunsTellNoise() throws {
        let programs = try ProfiledProgram()
        func runs(_ sizes: [Int], _ side: String) throws -> [String] {
            try sizes.map { size in
                try programs.profile(
                    ["jq", "-n", "[range(\(size))|tostring]|length"], as: "\(side)\(size)")
            }
        }
        let old = try runs([1_000, 1_300, 1_150], "a")
        let near = try runs([1_010, 1_250, 1_200], "b")
        let far = try runs([3_000, 3_100, 3_050], "c")
        let noise = ["--fail-above", "1%", "--fail-above", "1allocs"]
        let text = try programs.memtrack(["diff"] + old + ["--against"] + near + noise)
        #expect(text.contains("within noise"), "\(text)")
        _ = try programs.memtrack(["diff"] + old + ["--against"] + far + noise, status: 1)
    }

    @Test func twoCheckpointsOfOneRunAreCompared() throws {
        let programs = try ProfiledProgram()
        let script = "import time; a=[]\nfor i in range(40): a.append(bytearray(200000)); time.sleep(0.02)"
        let run = try Command.run(
            [
                try Build.launcher(), "-q", "-i", "0.3", "--no-history", "--output", "py.%c.pb.gz",
                "/usr/bin/python3", "-c", script,
            ], directory: programs.directory.path)
        #expect(run.isSuccess)
        let text = try programs.memtrack(
            [
                "diff", "py.1.pb.gz", "py.2.pb.gz", "--sort", "live", "--fail-above", "1M",
            ], status: 1)
        #expect(text.contains("bytearray") || text.contains("PyByteArray"), "\(text)")
    }
}
