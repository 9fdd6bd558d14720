// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import Testing

/// Screens compared with files. `MEMTRACK_UPDATE_GOLDEN=1 swift test` writes them anew: read the diff.
@Suite struct GoldenTests {
    static let widths = [40, 80, 120, 200]

    @Test(arguments: widths) func finalReport(width: Int) throws {
        let session = try Fixture.session()
        try check(FinalReport.render(session, layout: Layout(width: width)), "final-\(width)")
    }

    @Test(arguments: widths) func checkpoint(width: Int) throws {
        let checkpoints = try Fixture.checkpoints()
        let text = checkpoints.map { CheckpointText.render($0, layout: Layout(width: width)) }.joined()
        try check(text, "checkpoint-\(width)")
    }

    @Test func color() throws {
        let layout = Layout(width: 120, usesColor: true)
        try check(FinalReport.render(try Fixture.session(), layout: layout), "final-120-color")
        try check(CheckpointText.render(try Fixture.checkpoints()[1], layout: layout), "checkpoint-120-color")
    }

    @Test func filteredByGrowth() throws {
        let checkpoints = try Fixture.checkpoints(order: .growth, filter: "task|sqlite")
        try check(CheckpointText.render(checkpoints[1], layout: Layout(width: 100)), "checkpoint-100-filter")
        let options = FinalReport.Options(limit: 2, filter: try SiteFilter("bot"))
        try check(
            FinalReport.render(try Fixture.session(), layout: Layout(width: 100), options: options),
            "final-100-filter")
    }

    @Test func hostileText() throws {
        let session = try Fixture.session(hostile: true)
        try check(FinalReport.render(session, layout: Layout(width: 120)), "final-120-hostile")
    }

    @Test func history() throws {
        let session = try Fixture.session()
        let text =
            HistoryText.head(session)
            + (try Fixture.checkpoints()).map { HistoryText.checkpoint($0) }.joined()
            + HistoryText.end(session)
        try check(text, "history")
    }

    @Test func withoutObjects() throws {
        var session = try Fixture.session()
        session.profile = nil
        session.ending = .signalled(number: 9, name: "SIGKILL")
        session.notes = ["Objects are not counted: bot is statically linked."]
        try check(FinalReport.render(session, layout: Layout(width: 80)), "final-80-no-objects")
    }

    func check(_ text: String, _ name: String) throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Golden/\(name).txt")
        if ProcessInfo.processInfo.environment["MEMTRACK_UPDATE_GOLDEN"] == "1" {
            try Data(text.utf8).write(to: file)
            return
        }
        let golden = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        if text != golden {
            let pairs = zip(text.split(separator: "\n"), golden.split(separator: "\n"))
            let first = pairs.first { $0 != $1 }
            Issue.record(
                "\(name): \(first.map { "\n got  \($0.0)\n want \($0.1)" } ?? "lengths differ")")
        }
    }
}

@Suite struct MarkTests {
    @Test func finalReportHasTheLastMarks() throws {
        var session = try Fixture.session()
        session.add(
            markers: (1...3).map {
                RegionMarker(
                    monotonicNanoseconds: 12_000_000_000 + $0 * 1_000_000_000, label: "batch \($0)\u{7}")
            })
        session.gauges = [
            RegionGauge(name: "queue", value: 27_000), RegionGauge(name: "load", value: 0.5),
            RegionGauge(name: "odd", value: .nan), RegionGauge(name: "far", value: -.infinity),
        ]
        let options = FinalReport.Options(limit: 2)
        let text = FinalReport.render(session, layout: Layout(width: 100), options: options)
        #expect(text.contains("From the program   the last 2 of 3 marks\n  ◆ +2.0s batch 2"))
        #expect(text.contains("◆ +3.0s batch 3") && !text.contains("batch 1") && !text.contains("\u{7}"))
        #expect(text.contains("○ queue = 27,000\n  ○ load = 0.5\n"))
        let all = FinalReport.render(session, layout: Layout(width: 100))
        #expect(all.contains("○ odd = not a number\n  ○ far = -Infinity\n"))
    }

    @Test func keepsTheLastOfAnyNumber() throws {
        var session = try Fixture.session()
        for number in 0..<3 {
            session.add(
                markers: (0..<800).map {
                    RegionMarker(monotonicNanoseconds: UInt64(number * 800 + $0), label: "")
                })
        }
        #expect(session.markers.count == SessionSummary.markersKept && session.markerCount == 2_400)
        #expect(session.markers.last?.monotonicNanoseconds == 2_399)
    }

    /// No rows are asked for: each table is one sum.
    @Test func noRowsWhereNoneAreAskedFor() throws {
        let text = FinalReport.render(
            try Fixture.session(), layout: Layout(width: 120), options: FinalReport.Options(limit: 0))
        #expect(!text.contains("Index::insert") && text.contains("11 more sites"), "\(text)")
        #expect(!text.contains("Size classes"))
    }

    @Test func noRateWithoutADuration() throws {
        var session = try Fixture.session()
        #expect(FinalReport.render(session, layout: Layout(width: 100)).contains(" on average, "))
        session.duration = 0
        session.ending = .unknown
        #expect(FinalReport.render(session, layout: Layout(width: 100)).contains(" on average\n"))
    }
}

@Suite struct LayoutTests {
    /// Every line of every screen fits, at every width, and carries nothing that moves a cursor.
    @Test(arguments: Array(stride(from: 40, through: 200, by: 7))) func everyLineFits(width: Int) throws {
        let layout = Layout(width: width)
        var session = try Fixture.session(hostile: true)
        // A path to be copied is the one thing that may be longer.
        session.historyPath = nil
        var text = FinalReport.render(session, layout: layout)
        for checkpoint in try Fixture.checkpoints(hostile: true) {
            text += CheckpointText.render(checkpoint, layout: layout)
        }
        for line in text.split(separator: "\n") {
            #expect(line.unicodeScalars.count <= width, "\(line)")
            #expect(line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f })
            #expect(line.last != " ")
        }
    }

    /// At the width that terminals have, a table says who calls: a row of C code like `hash_create` says nothing alone. The
    /// line may begin further left than the site.
    @Test(arguments: [(40, 0), (79, 0), (80, 1), (99, 1), (100, 1), (200, 1)])
    func callersHaveALineFromEightyColumnsOn(width: Int, lines: Int) throws {
        let layout = Layout(width: width)
        let text = CheckpointText.render(try Fixture.checkpoints()[1], layout: layout)
        func count(_ text: String) -> Int {
            let rows = text.split(separator: "\n").map { $0.drop { $0 == " " } }
            let callers = rows.filter { $0.hasPrefix("← ") }
            #expect(callers.allSatisfy { $0.contains("← main") })
            return callers.filter { $0.hasPrefix("← Loader::load") }.count
        }
        #expect(count(text) == 3 * lines)
        // Once in each of its tables.
        #expect(count(FinalReport.render(try Fixture.session(), layout: layout)) >= 3 * lines)
        #expect(lines > 0 || !text.contains("←"))
    }

    @Test func colorChangesNothingButColor() throws {
        for width in [40, 100, 160] {
            let session = try Fixture.session(hostile: true)
            let plain = FinalReport.render(session, layout: Layout(width: width))
            let colored = FinalReport.render(session, layout: Layout(width: width, usesColor: true))
            #expect(!plain.contains("\u{1b}") && colored.contains("\u{1b}"))
            #expect(colored.replacing(/\u{1b}\[[0-9]+m/, with: "") == plain)
        }
    }

    @Test func widthIsKeptWithinLimits() {
        #expect(Layout(width: 0).width == 40 && Layout(width: 9_999).width == 200)
    }
}

@Suite struct HistoryTests {
    @Test(arguments: [
        ("bot", "bot"), ("/usr/bin/python3.11", "python3.11"), ("../../etc/x y", "x_y"), ("...", "_.."),
        ("", "program"), ("g++", "g++"), ("\u{1b}[2Jä\n", "__2J__"), (".hidden", "_hidden"),
    ]) func name(program: String, stem: String) {
        let start = WallTime(unixSeconds: 1_772_371_321, utcOffsetSeconds: 3_600).components
        #expect(
            HistoryNaming.textName(program: program, start: start, pid: 42)
                == stem + "_memory_monitor_20260301_142201_pid42.txt")
        #expect(
            HistoryNaming.jsonLinesName(program: program, start: start, pid: 42)
                == stem + "_memory_monitor_20260301_142201_pid42.jsonl")
    }

    @Test func longNamesAreCut() {
        let start = WallTime(unixSeconds: 0).components
        let name = HistoryNaming.textName(
            program: String(repeating: "x", count: 5_000), start: start, pid: .max)
        #expect(name.utf8.count < 128)
    }
}
