// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import Testing

/// A deep tree of processes is one that can be read: each level stands one step further in than the one above, at any width.
@Suite struct ProcessTreeTests {
    /// A shell in a shell in a shell, each with a program beside the next one.
    private static func session(levels: Int) throws -> SessionSummary {
        var session = try Fixture.session()
        session.processes = (0..<levels).flatMap { level in
            let pid = Int32(4211 + 2 * level)
            return [
                ProcessRecord(
                    pid: pid, parentPID: pid - 2, executable: "/bin/sh",
                    createdMonotonicNanoseconds: UInt64(2 * level + 1)),
                ProcessRecord(
                    pid: pid + 1, parentPID: pid, executable: "/bin/ls",
                    createdMonotonicNanoseconds: UInt64(2 * level + 2)),
            ]
        }
        return session
    }

    /// Where each row's name begins, in columns from that of the first.
    private static func indents(_ text: String, _ name: String) -> [Int] {
        let rows = text.split(separator: "\n").filter { $0.contains(name + " (4") }
        let places = rows.map { row in
            row.distance(from: row.startIndex, to: row.firstRange(of: name)?.lowerBound ?? row.startIndex)
        }
        return places.map { $0 - places[0] }
    }

    @Test(arguments: [40, 60, 80, 120, 200]) func eachLevelIsAStepFurtherIn(width: Int) throws {
        let text = FinalReport.render(
            try Self.session(levels: 10), layout: Layout(width: width), options: .init(limit: 20))
        let tree = text.split(separator: "\n").drop { !$0.hasPrefix("Processes") }.prefix { $0 != "Health" }
            .joined(separator: "\n")
        let indents = Self.indents(tree, "sh")
        #expect(indents.count == 10, "\(tree)")
        let step = try #require(indents.dropFirst().first)
        #expect(step >= 1 && indents == (0..<10).map { $0 * step }, "\(indents)\n\(tree)")
    }

    private static func counters(_ allocations: UInt64, frees: UInt64, peak: Int64) -> Counters {
        var result = Counters()
        result.allocations = allocations
        result.allocatedBytes = allocations * 1_000
        result.frees = frees
        result.freedBytes = frees * 1_000
        result.peakBlocks = peak
        result.peakBytes = peak * 1_000
        return result
    }

    /// env, which became a shell, which became the bot; and a process that got the number of one that had ended.
    private static let wrapped = [
        ProcessRecord(
            pid: 9, parentPID: 1, executable: "/usr/bin/env", createdMonotonicNanoseconds: 1,
            wasReplaced: true,
            totals: counters(100, frees: 60, peak: 50)),
        ProcessRecord(
            pid: 10, parentPID: 9, executable: "/bin/ls", createdMonotonicNanoseconds: 3,
            totals: counters(20, frees: 15, peak: 20)),
        ProcessRecord(
            pid: 9, parentPID: 1, executable: "/bin/sh", createdMonotonicNanoseconds: 2, wasReplaced: true,
            totals: counters(1_000, frees: 100, peak: 950)),
        ProcessRecord(
            pid: 10, parentPID: 9, executable: "/bin/cat", createdMonotonicNanoseconds: 5,
            totals: counters(3, frees: 1, peak: 3)),
        ProcessRecord(
            pid: 9, parentPID: 1, executable: "/srv/bot", createdMonotonicNanoseconds: 4,
            totals: counters(500, frees: 493, peak: 300)),
    ]

    @Test func aProcessIsOneRowWhateverItWasBefore() throws {
        var session = try Fixture.session()
        session.processes = Self.wrapped
        let text = FinalReport.render(session, layout: Layout(width: 120))
        let rows = text.split(separator: "\n").drop { !$0.hasPrefix("Processes") }.dropFirst(2).prefix(5)
            .map { $0.split(whereSeparator: { $0 == " " }).joined(separator: " ") }
        #expect(rows[0] == "6.84 KB 927.73 KB 1,600 · bot (9) was env, sh", "\(text)")
        #expect(rows[1] == "4.88 KB 19.53 KB 20 · ├─ ls (10)", "\(text)")
        #expect(rows[2] == "1.95 KB 2.93 KB 3 · └─ cat (10)", "\(text)")
        #expect(rows[4] == "13.67 KB · 1,623 · 3 processes", "\(text)")
    }

    /// What the wrappers held went with them: it is told from what the program freed, and no leak of its.
    @Test func whatExecFreedIsSaid() throws {
        var session = try Fixture.session()
        session.processes = Self.wrapped
        let text = FinalReport.render(session, layout: Layout(width: 120))
        #expect(text.contains("with 940, 917.97 KB, of programs that exec replaced"), "\(text)")
        session.processes = [Self.wrapped[1], Self.wrapped[4]]
        #expect(!FinalReport.render(session, layout: Layout(width: 120)).contains("exec"))
    }

    /// What it became may not be counted: then nobody knows what is live, and what its wrappers held is not.
    @Test func whatBecameUncountedHasNothingLive() throws {
        var session = try Fixture.session()
        session.processes = [Self.wrapped[1], Self.wrapped[0]]
        func rows() -> [String] {
            let text = FinalReport.render(session, layout: Layout(width: 120))
            return text.split(separator: "\n").drop { !$0.hasPrefix("Processes") }.dropFirst(2).prefix(4)
                .map { $0.split(whereSeparator: { $0 == " " }).joined(separator: " ") }
        }
        #expect(rows()[0] == "· 48.83 KB 100 · env (9) became one that is not counted")
        #expect(rows()[3] == "4.88 KB · 120 · 2 processes")
        session.processes.append(
            ProcessRecord(
                pid: 9, parentPID: 1, executable: "/srv/static", createdMonotonicNanoseconds: 2, totals: nil))
        #expect(rows()[0] == "· 48.83 KB 100 · static (9) was env not counted")
    }

    /// A program that was another one first is worth a tree, one that never was is not.
    @Test func oneImageHasNoTree() throws {
        var session = try Fixture.session()
        session.processes = [Self.wrapped[4]]
        #expect(!FinalReport.render(session, layout: Layout(width: 120)).contains("Processes"))
        session.processes = [Self.wrapped[0], Self.wrapped[4]]
        #expect(FinalReport.render(session, layout: Layout(width: 120)).contains("bot (9)  was env"))
    }
}
