// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
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
        let text = FinalReport.render(try Self.session(levels: 10), layout: Layout(width: width))
        let tree = text.split(separator: "\n").drop { !$0.hasPrefix("Processes") }.prefix { $0 != "Health" }
            .joined(separator: "\n")
        let indents = Self.indents(tree, "sh")
        #expect(indents.count == 10, "\(tree)")
        let step = try #require(indents.dropFirst().first)
        #expect(step >= 1 && indents == (0..<10).map { $0 * step }, "\(indents)\n\(tree)")
    }
}
