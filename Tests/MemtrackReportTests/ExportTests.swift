// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import Testing

@testable import MemtrackReport

/// Every format gives the figures of the profile back, and text of the target stays text in it.
struct ExportTests {
    private static func loaded(hostile: Bool = false) throws -> LoadedProfile {
        LoadedProfile(name: "bot.pb.gz", summary: try Fixture.session(hostile: hostile))
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func object(_ bytes: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    /// What formats without a sign can say of a figure: stacks above zero.
    private static func positiveTotal(_ profile: LoadedProfile, _ type: SampleType) -> Int64 {
        profile.profile.sites.flatMap(\.stacks).map { max(0, type.value(of: $0.counters)) }.reduce(0, +)
    }

    @Test(arguments: SampleType.allCases)
    func `Folded stacks add up to the figure, one stack a line`(type: SampleType) throws {
        let profile = try Self.loaded(hostile: true)
        var options = ExportOptions()
        options.sampleType = type
        let text = Self.text(try FoldedExporter().export(profile, options: options))
        let lines = text.split(separator: "\n")
        #expect(lines == lines.sorted())
        let values = try lines.map { try #require(Int64($0.split(separator: " ").last ?? "")) }
        #expect(values.allSatisfy { $0 > 0 })
        #expect(values.reduce(0, +) == Self.positiveTotal(profile, type))
    }

    @Test func `A folded line is root first, and a name cannot end a frame or a line`() throws {
        var fixture = Fixture()
        let evil = Fixture.Function(name: "fill<[u8; 4]>\nmain 99")
        fixture.allocate([evil, Fixture.main], bytes: 10, count: 3)
        var session = try Fixture.session()
        session.profile = fixture.profile()
        let text = Self.text(
            try FoldedExporter().export(LoadedProfile(name: "x", summary: session), options: ExportOptions()))
        #expect(text == "main;fill<[u8\\x3b 4]>\\nmain 99 30\n")
    }

    @Test func `Speedscope has a profile for each figure, with its weights`() throws {
        let profile = try Self.loaded(hostile: true)
        var options = ExportOptions()
        options.sampleType = .peakSpace
        let file = try Self.object(try SpeedscopeExporter().export(profile, options: options))
        #expect(file["$schema"] as? String == "https://www.speedscope.app/file-format-schema.json")
        #expect(file["activeProfileIndex"] as? Int == 5)
        let frames = try #require((file["shared"] as? [String: Any])?["frames"] as? [[String: Any]])
        let profiles = try #require(file["profiles"] as? [[String: Any]])
        #expect(profiles.map { $0["name"] as? String } == SampleType.allCases.map(\.rawValue))
        for (type, one) in zip(SampleType.allCases, profiles) {
            let weights = try #require(one["weights"] as? [Int64])
            let samples = try #require(one["samples"] as? [[Int]])
            #expect(samples.count == weights.count)
            #expect(samples.joined().allSatisfy(frames.indices.contains))
            #expect(weights.reduce(0, +) == Self.positiveTotal(profile, type))
            #expect(one["endValue"] as? Int64 == weights.reduce(0, +))
        }
    }

    @Test func `DHAT has each stack once, with all its figures`() throws {
        let profile = try Self.loaded(hostile: true)
        let file = try Self.object(try DHATExporter().export(profile, options: ExportOptions()))
        let points = try #require(file["pps"] as? [[String: Any]])
        let names = try #require(file["ftbl"] as? [String])
        let stacks = points.map { $0["fs"] as? [Int] ?? [] }
        #expect(Set(stacks).count == stacks.count)
        #expect(stacks.joined().allSatisfy { (1..<names.count).contains($0) })
        let totals = profile.profile.totals
        func sum(_ key: String) -> Int64 { points.reduce(0) { $0 + ($1[key] as? Int64 ?? 0) } }
        #expect(sum("tb") == Int64(totals.allocatedBytes))
        #expect(sum("tbk") == Int64(totals.allocations))
        #expect(sum("gb") == totals.peakBytes)
        #expect(sum("eb") == totals.liveBytes)
        #expect(names.contains("Index::insert") == false)
        #expect(names.contains { $0.hasSuffix("(index.cpp:1204)") })
    }

    @Test func `ms_print reads what massif would have written`() throws {
        var fixture = Fixture.bot(step: 1)
        fixture.allocate(
            [Fixture.Function(name: "run()::{lambda()#1}::operator()() const"), Fixture.main],
            bytes: 50_000_000, count: 1, peak: 1)
        var session = try Fixture.session()
        let profile = fixture.profile { $0.peakMonotonicNanoseconds = 72_500_000_000 }
        session.profile = profile
        let bytes = try MassifExporter().export(
            LoadedProfile(name: "x", summary: session), options: ExportOptions())
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("massif.\(getpid()).out")
        try Data(bytes).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let (status, output) = try Self.run("ms_print", ["--threshold=0", file.path])
        #expect(status == 0, "\(output)")
        #expect(output.contains("Detailed snapshots: [2 (peak), 3]"))
        #expect(output.contains("\(Self.grouped(profile.totals.peakBytes))B) (heap allocation functions)"))
        #expect(output.contains("\(Self.grouped(profile.totals.liveBytes))B) (heap allocation functions)"))
        #expect(output.contains("(50,000,000B) 0x0: run()::{lambda()＃1}::operator()() const"))
        #expect(!output.contains("operator new"))
    }

    @Test func `Rows for databases are flat, one a site, with the same keys`() throws {
        let profile = try Self.loaded(hostile: true)
        var options = ExportOptions()
        options.labels = [
            ExportLabel(name: "version", value: "1.4"), ExportLabel(name: "role", value: "a\"b"),
        ]
        let text = Self.text(try JSONLinesExporter().export(profile, options: options))
        let rows = try text.split(separator: "\n").map { try Self.object(Array($0.utf8)) }
        #expect(rows.count == profile.profile.sites.count)
        #expect(Set(rows.map { $0.keys.sorted() }).count == 1)
        #expect(rows.allSatisfy { $0["labels"] as? [String: String] == ["version": "1.4", "role": "a\"b"] })
        #expect(rows.allSatisfy { $0["host"] as? String == "vm-7" && $0["checkpoint"] as? Int == 2 })
        let live = rows.reduce(Int64(0)) { $0 + ($1["liveBytes"] as? Int64 ?? 0) }
        #expect(live == profile.profile.totals.liveBytes)
        #expect(rows.contains { $0["functionKey"] as? String == "Parser::tokens" })
    }

    /// Profiles come from files of unknown origin too.
    @Test func `Figures and times that cannot be do not stop an export`() throws {
        var fixture = Fixture()
        for name in ["a", "b"] {
            fixture.allocate(
                [Fixture.Function(name: name), Fixture.main], bytes: 1, count: 1 << 63 - 1, peak: .max)
        }
        fixture.allocate([Fixture.main], bytes: 1, count: .max, freed: 1 << 62, peak: .min)
        for seconds in [Double.nan, .infinity, -1, 1e308] {
            var session = try Fixture.session()
            session.profile = fixture.profile { $0.peakMonotonicNanoseconds = .max }
            session.duration = seconds
            session.start.unixSeconds = seconds
            session.interval = seconds
            let profile = LoadedProfile(name: "x", summary: session)
            var options = ExportOptions()
            options.base = profile
            let exporters: [any ProfileExporter] = [
                FoldedExporter(), SpeedscopeExporter(), DHATExporter(), MassifExporter(), JSONLinesExporter(),
                HTMLExporter(),
            ]
            for exporter in exporters {
                #expect(try exporter.export(profile, options: options).isEmpty == false)
            }
        }
    }

    static func run(_ command: String, _ arguments: [String]) throws -> (Int32, String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private static func grouped(_ value: Int64) -> String { FigureText.count(value) }
}
