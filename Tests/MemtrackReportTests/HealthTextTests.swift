// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import Testing

/// Nothing is lost without a word: each count of the health has a line in the report.
@Suite struct HealthTextTests {
    /// The lines of the section, each in one piece.
    private static func lines(_ shim: ShimFigures) throws -> [String] {
        var session = try Fixture.session()
        session.profile?.shim = shim
        let text = FinalReport.render(session, layout: Layout(width: 200))
        let section = text.split(separator: "\n").drop { $0 != "Health" }
        return section.reduce(into: []) { lines, line in
            if line.hasPrefix("  ! ") {
                lines.append(String(line))
            } else if line.hasPrefix("    "), let last = lines.last {
                lines[lines.count - 1] = last + line.dropFirst(3)
            }
        }
    }

    /// Counts that say nothing by themselves: bytes stand beside their blocks, early blocks are no loss, of a
    /// verification the stacks that were compared are the figure that counts, and what was inherited stands in the totals.
    private static let silent: Set = [
        "untrackedBytes", "uncountedBytes", "earlyBlocks", "verifyMismatches", "verifySkipped",
        "inheritedFrees", "inheritedFreedBytes",
    ]

    @Test(arguments: RegionHealth.fields.map(\.name)) func hasALine(name: String) throws {
        let field = try #require(RegionHealth.fields.first { $0.name == name })
        var shim = ShimFigures()
        let none = try Self.lines(shim)
        shim.health[keyPath: field.path] = 1_234_567
        let lines = try Self.lines(shim)
        if Self.silent.contains(name) {
            #expect(lines == none, "\(lines)")
        } else {
            #expect(lines.count == none.count + 1, "\(lines)")
            #expect(name == "confined" || lines.contains { $0.contains("1,234,567") }, "\(lines)")
        }
    }

    /// What can be done is said where something can: with a word that can be typed.
    @Test(arguments: [
        ("regionRefusals", "--shm-size"), ("regionRefusals", "ulimit -f"), ("overflowCells", "--sample"),
        ("overflowNodes", "--stack-depth"), ("truncatedStacks", "--stack-depth"),
        ("untrackedBlocks", "ulimit -v"),
        ("uncountedAllocations", "ulimit -a"), ("incompleteStacks", "-XX:+PreserveFramePointer"),
    ]) func saysTheWayOut(name: String, word: String) throws {
        let field = try #require(RegionHealth.fields.first { $0.name == name })
        var shim = ShimFigures()
        shim.health[keyPath: field.path] = 1_234_567
        #expect(try Self.lines(shim).contains { $0.contains(word) })
    }

    @Test func stoppedAndDamaged() throws {
        var shim = ShimFigures()
        shim.stopped = 3
        shim.damagedRecords = 5
        let lines = try Self.lines(shim)
        #expect(lines.contains { $0.contains("3 processes") } && lines.contains { $0.contains("5 records") })
    }
}
