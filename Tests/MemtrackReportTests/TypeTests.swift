// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackObjects
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import MemtrackSymbols
import Testing

extension Fixture {
    /// What is live at a moment, by type; `step` 0 is the earlier one.
    static func types(step: Int, hostile: Bool = false) -> TypeTable {
        func site(_ function: String, _ line: Int, _ count: Int, _ bytes: Int) -> TypeSite {
            TypeSite(
                frame: Frame(function: function, file: "/srv/bot.py", line: line, module: "/srv/bot.py"),
                count: count, bytes: UInt64(bytes))
        }
        func row(
            _ runtime: ObjectRuntime?, _ name: String, _ count: Int, _ each: Int, owned: Int = 0,
            _ sites: [TypeSite] = []
        ) -> TypeRow {
            var row = TypeRow(runtime: runtime, name: name)
            row.count = count
            row.bytes = UInt64(count * each)
            row.ownedBlocks = owned == 0 ? 0 : count
            row.ownedBytes = UInt64(count * owned)
            row.trackedCount = runtime == .python ? count : 0
            row.sites = sites
            return row
        }
        let sessions = 500 + 20_000 * step
        var table = TypeTable()
        table.rows = [
            row(
                .python, "Session", sessions, 56, owned: 40,
                [site("main.<locals>.<listcomp>", 12, sessions, sessions * 56)]),
            row(
                .python, "dict", 2_000 + sessions, 64, owned: 184,
                [
                    site("Session.__init__", 6, sessions, sessions * 64),
                    site("load", 3, 2_000, 2_000 * 64),
                ]), row(.cxx, "shapes::Holder<long>", 30, 32, owned: 800),
            row(.swift, "App.Cache<Swift.Int>", 3 - step, 48),
            row(.python, step == 0 ? "Old" : "New", 5, 1_000), row(nil, "malloc in parse", 7 + step, 5_000),
            row(nil, "malloc in load", 4, 100),
        ]
        if hostile { table.rows.append(row(.cxx, "a\u{1b}[2J</script>|`\u{202e}\n=b", 1, 9_000_000)) }
        table.processes = 1
        table.blocks = table.rows.reduce(0) { $0 + $1.count + $1.ownedBlocks }
        table.bytes = table.rows.reduce(0) { $0 + $1.totalBytes }
        table.changedBlocks = 120
        table.readingSeconds = 0.125
        table.elapsed = 30 * Double(step + 1)
        return table
    }

    static func typed(step: Int, hostile: Bool = false, name: String = "") throws -> LoadedProfile {
        var session = try session()
        session.types = types(step: step, hostile: hostile).compared(with: step > 0 ? types(step: 0) : nil)
        return LoadedProfile(name: name.isEmpty ? "bot.\(step).pb.gz" : name, summary: session)
    }

    /// In all forms for people.
    static func typeDiff(width: Int, hostile: Bool = false, limit: Int = 20) throws -> [String] {
        let (old, new) = (try typed(step: 0), try typed(step: 1, hostile: hostile))
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        let types = TypeDiffResult { () throws(TypeDiff.Absence) in try TypeDiff(old: [old], new: [new]) }
        var options = DiffOptions()
        options.limit = limit
        let title = DiffTitle([old], [new])
        return [
            DiffText.render(diff, types: types, title, layout: Layout(width: width), options: options),
            DiffMarkdown.render(diff, types: types, title, options: options),
        ]
    }
}

@Suite struct TypeDiffTests {
    private static func diff(
        _ old: [LoadedProfile], _ new: [LoadedProfile], _ filter: String? = nil
    ) throws -> TypeDiff {
        try TypeDiff(old: old, new: new, filter: try filter.map { try TypeFilter($0) })
    }

    @Test func whatGrewComesFirst() throws {
        let diff = try Self.diff([try Fixture.typed(step: 0)], [try Fixture.typed(step: 1)])
        let names = ["dict", "Session", "", "New", "shapes::Holder<long>", "App.Cache<Swift.Int>", "Old"]
        #expect(diff.rows.map(\.name) == names)
        #expect(diff.rows.map(\.kind) == [.both, .both, .both, .new, .both, .both, .gone])
        let session = try #require(diff.rows.first { $0.name == "Session" })
        #expect(session.bytes.change == 20_000 * 96 && session.count.change == 20_000)
        // Blocks that are no objects are one row.
        #expect(diff.rows[2].runtime == nil && diff.rows[2].count.new == 12)
        #expect(diff.bytes.new == Int64(Fixture.types(step: 1).bytes))
        #expect(diff.rows.reduce(0) { $0 + $1.bytes.change } == diff.bytes.change)
        #expect(diff.rows.reduce(0) { $0 + $1.count.new } == diff.count.new)
        let filtered = try Self.diff(
            [try Fixture.typed(step: 0)], [try Fixture.typed(step: 1)], "^(New|Old)$")
        #expect(filtered.rows.map(\.name) == ["New", "Old"] && filtered.bytes == diff.bytes)
    }

    @Test func severalRunsTellNoise() throws {
        let runs = [try Fixture.typed(step: 0), try Fixture.typed(step: 1), try Fixture.typed(step: 0)]
        let diff = try Self.diff(
            runs, runs.reversed() + [try Fixture.typed(step: 1), try Fixture.typed(step: 1)])
        #expect(diff.rows.allSatisfy { TypeDiff.weight($0) == 0 })
        #expect(diff.rows.contains { $0.bytes.isNoise })
    }

    @Test func saysWhoHasNone() throws {
        var bare = try Fixture.typed(step: 0, name: "dir/bare.pb.gz")
        bare.summary.types = nil
        #expect(throws: TypeDiff.Absence.profile("dir/bare.pb.gz")) {
            try Self.diff([bare], [try Fixture.typed(step: 1)])
        }
        #expect(throws: TypeDiff.Absence.bothSides) { try Self.diff([bare], [bare]) }
        let diff = ProfileDiff(old: [bare], new: [bare], by: .site)
        for (absence, word) in [(TypeDiff.Absence.profile(bare.name), true), (.bothSides, false)] {
            let text = DiffText.render(
                diff, types: .failure(absence), DiffTitle([bare], [bare]), layout: Layout(width: 100),
                options: DiffOptions())
            #expect(text.contains("bare.pb.gz has no object types") == word)
        }
    }

    @Test func mergedTypesAreAddedUp() throws {
        let merged = try #require(
            LoadedProfile.merged([try Fixture.typed(step: 0), try Fixture.typed(step: 1)], name: "m"))
        let types = try #require(merged.summary.types)
        #expect(types.processes == 2 && types.changeSince == nil)
        let sessions = try #require(types.rows.first { $0.name == "Session" })
        #expect(sessions.count == 21_000 && sessions.sites.map(\.count) == [21_000])
        #expect(sessions.countChange == 0)
        #expect(types.rows.reduce(0) { $0 + $1.totalBytes } == types.bytes)
    }
}

@Suite struct TypeScreenTests {
    /// Nothing can have grown, or nothing has: the largest come first, and why is said.
    @Test func growthWithOneLookIsSortedBySize() throws {
        var options = TypeTableText.Options(limit: 4, order: .growth)
        options.showsChange = false
        var table = Fixture.types(step: 1)
        for index in table.rows.indices { table.rows[index].bytesChange = 0 }
        #expect(table.sorted(by: .growth).map(\.name) == table.sorted(by: .live).map(\.name))
        let text = TypeTableText(types: table, options: options)
        #expect(
            text.render(layout: Layout(width: 100), asOf: 60).contains(
                "by size: with one look only, growth is not known"))
    }

    /// Where nothing has grown the largest come first, not those with the first names.
    @Test func withoutGrowthTheLargestComeFirst() throws {
        let table = Fixture.types(step: 1)
        let rows = table.sorted(by: .growth).map(\.totalBytes)
        #expect(rows == rows.sorted(by: >))
        let sites = SiteOrder.growth.sorted(Fixture.bot(step: 1).profile().sites).map(\.counters.liveBytes)
        #expect(sites == sites.sorted(by: >))
    }

    @Test func screens() throws {
        var options = TypeTableText.Options(limit: 4, order: .growth)
        let earlier = Fixture.types(step: 0)
        let table = Fixture.types(step: 1).compared(with: earlier)
        let text = TypeTableText(types: table, options: options)
        try GoldenTests().check(text.render(layout: Layout(width: 100), asOf: 60), "types-100")
        options.filter = try TypeFilter("Session|New")
        options.sites = 5
        let filtered = TypeTableText(types: table, options: options)
        try GoldenTests().check(filtered.render(layout: Layout(width: 120)), "types-120-filter")
        var session = try Fixture.typed(step: 1).summary
        for (generation, figures) in [[97, 41, 0], [9, 92, 3], [1, 0, 0]].enumerated() {
            for (name, value) in zip(["collections", "collected", "uncollectable"], figures) {
                session.gauges.append(RegionGauge(name: "gc.gen\(generation).\(name)", value: Double(value)))
            }
        }
        session.gauges.append(RegionGauge(name: "gc.gen7.collections", value: 5))
        let final = FinalReport.render(session, layout: Layout(width: 120))
        let (start, end) = (
            try #require(final.range(of: "Objects ")), try #require(final.range(of: "Live at the peak"))
        )
        try GoldenTests().check(String(final[start.lowerBound..<end.lowerBound]), "types-final-120")
        #expect(final.contains("○ gc.gen7.collections = 5") && !final.contains("gc.gen0"))
        let diff = try Fixture.typeDiff(width: 120)
        let section = try #require(diff[0].range(of: "Object types"))
        try GoldenTests().check(String(diff[0][section.lowerBound...]), "types-diff-120")
        let markdown = try #require(diff[1].range(of: "| object types"))
        try GoldenTests().check(String(diff[1][markdown.lowerBound...]), "types-diff-markdown")
    }

    @Test(arguments: Array(stride(from: 40, through: 200, by: 20))) func everyLineFits(width: Int) throws {
        var text = try Fixture.typeDiff(width: width, hostile: true)[0]
        text += try Fixture.typeDiff(width: width, limit: 1)[0]
        text += TypeTableText(types: Fixture.types(step: 1, hostile: true), options: .init())
            .render(layout: Layout(width: width), asOf: 60)
        for line in text.split(separator: "\n") {
            #expect(line.unicodeScalars.count <= width, "\(line)")
            #expect(
                line.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f && $0.value != 0x202e })
        }
    }
}

@Suite struct TypeExportTests {
    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test func csvAndJSONLines() throws {
        let profile = try Fixture.typed(step: 1, hostile: true)
        let csv = Self.text(try TypesCSVExporter().export(profile, options: ExportOptions()))
        #expect(csv.contains("Python,Session,20500,1148000,20500,820000,20500,20000,1920000\n"))
        // It goes to a terminal where no file is named.
        #expect(csv.contains(#",a\x1b[2J</script>|`\u{202e}\n=b,"#))
        #expect(csv.utf8.allSatisfy { $0 >= 0x20 || $0 == UInt8(ascii: "\n") })
        var options = ExportOptions()
        options.labels = [ExportLabel(name: "version", value: "1.4")]
        let lines = Self.text(try TypesJSONLinesExporter().export(profile, options: options))
        let rows = try lines.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(rows.count == profile.summary.types?.rows.count)
        #expect(Set(rows.map { $0.keys.sorted() }).count == 1)
        #expect(rows.allSatisfy { $0["elapsedSeconds"] as? Double == 60 && $0["host"] as? String == "vm-7" })
        let bytes = rows.reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) + ($1["ownedBytes"] as? Int ?? 0) }
        #expect(bytes == Int(Fixture.types(step: 1, hostile: true).bytes))
        var bare = profile
        bare.summary.types = nil
        for exporter in [TypesCSVExporter(), TypesJSONLinesExporter()] as [any ProfileExporter] {
            #expect(throws: ReportError.noTypes(bare.name)) { try exporter.export(bare, options: options) }
        }
    }

    @Test func jsonOfADiff() throws {
        let (old, new) = (try Fixture.typed(step: 0), try Fixture.typed(step: 1, hostile: true))
        let diff = ProfileDiff(old: [old], new: [new], by: .site)
        let types = TypeDiffResult { () throws(TypeDiff.Absence) in try TypeDiff(old: [old], new: [new]) }
        let bytes = try DiffJSON.render(diff, types: types, old: [old], new: [new], options: DiffOptions())
        let document = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        let objects = try #require(document["objects"] as? [String: Any])
        #expect(objects["newElapsedSeconds"] as? Double == 60)
        let rows = try #require(objects["types"] as? [[String: Any]])
        let session = try #require(rows.first { $0["name"] as? String == "Session" })
        #expect((session["count"] as? [String: Any])?["change"] as? Int == 20_000)
        #expect((session["sites"] as? [[String: Any]])?.first?["line"] as? Int == 12)
    }
}

@Suite struct PythonHintTests {
    /// Who profiles a Python program without `-o` sees the interpreter's functions; the report says how to see the program's.
    @Test(arguments: [
        ("libpython3.11.so.1.0", true), ("python3.11", true), ("python3", true), ("libsqlite3.so.0", false),
        ("python-docs-helper", false),
    ])
    func isThereForPython(module: String, expected: Bool) throws {
        var session = try Fixture.session()
        session.hints = []
        for index in session.profile!.sites.indices {
            session.profile!.sites[index].frame.module = "/usr/lib/" + module
        }
        let hint = "-o shows a Python program's objects"
        #expect(FinalReport.render(session, layout: Layout(width: 120)).contains(hint) == expected)
        session.types = Fixture.types(step: 0)
        #expect(!FinalReport.render(session, layout: Layout(width: 120)).contains(hint))
    }
}
