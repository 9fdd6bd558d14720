// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What the launcher says of a program: JSON, tables, children, endings.
@Suite struct ReportTests {
    static func target() throws -> String { try Compiled.fixture("report_target.c") }

    @Test func knowsTheSiteAndItsFigures() throws {
        let (report, run) = try Report.of([try Self.target(), "exit"])
        #expect(run.end == .exited(0))
        #expect(report.exitStatus == 0)
        let site = try #require(report.site("allocate_here"))
        #expect(site.totals.allocations == 1000)
        #expect(site.totals.allocatedBytes == 100_000)
        #expect(site.totals.frees == 400)
        #expect(site.totals.liveBlocks == 600)
        #expect(site.totals.liveBytes == 60_000)
        #expect(site.totals.peakBytes == 100_000)
        #expect(site.frame.file?.hasSuffix("report_target.c") == true)
        #expect(site.frame.line == 27)
        #expect(site.frame.module == (try Self.target()))
        #expect(site.stack.map(\.function).starts(with: ["allocate_here", "main"]))
        #expect(run.errorText.contains("allocate_here (report_target.c:27)"))
        #expect(run.errorText.contains("58.59 KB"))
        let sizeClass = try #require(
            report.sizeClasses.first {
                (100...100).contains(Int($0.minimumBytes)) || $0.minimumBytes <= 100 && $0.maximumBytes >= 100
            })
        #expect(sizeClass.totals.allocations >= 1000)
    }

    @Test(.enabled(if: Command.has("bash")))
    func totalsAreTheSumsOfAllTables() throws {
        let script = "for i in 1 2 3; do seq 2000 | sort -R | md5sum; done | tee /dev/null; exit 3"
        let (report, run) = try Report.of(["bash", "-c", script])
        #expect(run.end == .exited(3))
        let totals = try #require(report.totals)
        #expect(totals.allocations > 1000)
        #expect(report.sites.map(\.totals).reduce(.zero, +) == totals)
        #expect(report.sizeClasses.map(\.totals).reduce(.zero, +) == totals)
        // What exec freed is live in the processes' own figures, which are of their ends.
        var sum = report.processes.compactMap(\.totals).reduce(.zero, +)
        sum.frees += report.freedByExec.blocks
        sum.freedBytes += report.freedByExec.bytes
        sum.liveBlocks -= report.freedByExec.blocks
        sum.liveBytes -= report.freedByExec.bytes
        #expect(sum == totals)
        #expect(report.processes.allSatisfy { $0.totals != nil && !$0.running })
        let names = Set(report.processes.map { URL(fileURLWithPath: $0.executable).lastPathComponent })
        #expect(names.isSuperset(of: ["bash", "seq", "sort", "md5sum", "tee"]))
        #expect(report.processes.count >= 11)
        let pids = Set(report.processes.map(\.pid))
        #expect(
            report.processes.dropFirst().allSatisfy { pids.contains($0.parentPid) || pids.contains($0.pid) })
        #expect(run.errorText.contains("└─ "))
    }

    @Test func countsForkedChildrenApart() throws {
        let (report, run) = try Report.of([try Self.target(), "children"])
        let forked = report.processes.filter { $0.origin == "fork" }
        #expect(forked.compactMap(\.totals?.allocations).sorted() == [10, 20])
        #expect(report.site("child_site")?.totals.allocations == 30)
        #expect(report.site("child_site")?.totals.liveBytes == 9_000)
        #expect(run.errorText.contains("forked"))

        let (alone, _) = try Report.of([try Self.target(), "children"], options: ["--no-children"])
        #expect(alone.processes.count == 1)
        #expect(alone.site("child_site") == nil)
        #expect(alone.site("allocate_here")?.totals.allocations == 1000)
    }

    @Test func isCompleteWhenTheTargetWasKilled() throws {
        let (report, run) = try Report.of([try Self.target(), "kill"])
        #expect(run.end == .killed(SIGKILL))
        #expect(report.signal == SIGKILL)
        #expect(report.exitStatus == nil)
        #expect(report.site("allocate_here")?.totals.liveBytes == 60_000)
        #expect(run.errorText.contains("killed by SIGKILL"))
    }

    /// A short program ends before the first checkpoint: what it says of itself is in the report all the same.
    @Test func showsMarksAndGauges() throws {
        let run = try Command.run([try Build.launcher(), "--no-history", try Self.target(), "marks"])
        let lines = run.errorText.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
        #expect(lines.contains { $0.hasPrefix("◆ +") && $0.hasSuffix("s blocks freed") })
        #expect(lines.contains("○ blocks.live = 600"))
        let bare = try Command.run([try Self.target(), "marks"])
        #expect(bare.isSuccess)
    }

    @Test func ordersAndCutsTheTables() throws {
        let command = [try Build.launcher(), "--no-history", "-i", "0", "-l", "1", "--filter", "child_site"]
        let run = try Command.run(command + [try Self.target(), "children"])
        #expect(run.errorText.contains("matching child_site"))
        #expect(run.errorText.contains("child_site (report_target.c:"))
        #expect(!run.errorText.contains("allocate_here (report"))
        let site = try Report.of([try Self.target()], options: ["--alloc-fn", "^allocate_here$"])
        #expect(site.report.site("allocate_here") == nil)
        #expect(site.report.site("main")?.totals.allocations == 1000)
        let shallow = try Report.of([try Self.target()], options: ["--stack-depth", "1"])
        #expect(shallow.report.site("allocate_here")?.totals.allocations == 1000)
        #expect(shallow.report.sites.allSatisfy { $0.stack.filter { $0.module != "" }.count <= 2 })
    }

    @Test(.enabled(if: Command.has("g++")))
    func seesTheProcessesOfACompiler() throws {
        let directory = try TemporaryDirectory()
        let source = directory.file("a.cc")
        try "#include <vector>\nint main() { std::vector<int> v(9); return v.size() - 9; }\n".write(
            toFile: source, atomically: true, encoding: .utf8)
        let (report, run) = try Report.of(
            ["g++", "-c", "-o", directory.file("a.o"), source], options: ["-i", "0.2"])
        #expect(run.end == .exited(0))
        let compiler = try #require(report.processes.first { $0.executable.hasSuffix("/cc1plus") })
        #expect(try #require(compiler.totals).allocatedBytes > 1_000_000)
        #expect(try #require(compiler.figures).rssBytes > 1_000_000)
        #expect(
            report.processes.contains { $0.executable.hasSuffix("/as") || $0.executable.hasSuffix("-as") })
        #expect(report.processes.compactMap(\.totals).reduce(.zero, +) == report.totals)
    }

    @Test func comparesStacksWithLibunwindWhenAsked() throws {
        let (report, run) = try Report.of([try Self.target(), "children"], options: ["--verify-stacks"])
        #expect(try #require(report.health["verifiedStacks"]) > 0)
        #expect(report.health["verifyMismatches"] == 0)
        #expect(run.errorText.contains("compared with libunwind: all equal"))
        let (other, _) = try Report.of([try Self.target()], options: ["--unwinder", "libunwind"])
        #expect(other.site("allocate_here")?.totals.allocations == 1000)
    }

    @Test func showsProcfsAloneWhenAsked() throws {
        let (report, run) = try Report.of(["sleep", "0.4"], options: ["--no-objects", "-i", "0.2"])
        #expect(report.totals == nil)
        #expect(report.sites.isEmpty)
        #expect(try #require(report.checkpoints.first?.figures).rssBytes > 0)
        #expect(run.errorText.contains("RSS"))
        #expect(!run.errorText.contains("Totals"))
    }
}
