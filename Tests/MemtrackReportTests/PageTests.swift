// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import Testing

@testable import MemtrackReport

/// The page as a file; what it does in a browser is in Tests/Exports.
struct PageTests {
    private static func page(_ session: SessionSummary, base: SessionSummary? = nil) throws -> String {
        var options = ExportOptions()
        options.base = base.map { LoadedProfile(name: "old.pb.gz", summary: $0) }
        let bytes = try HTMLExporter().export(
            LoadedProfile(name: "new.pb.gz", summary: session), options: options)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func data(_ page: String) throws -> [String: Any] {
        let opening = #"<script type="application/json" id="data">"#
        let start = try #require(page.range(of: opening)).upperBound
        let end = try #require(page.range(of: "</script>", range: start..<page.endIndex)).lowerBound
        let json = try JSONSerialization.jsonObject(with: Data(page[start..<end].utf8))
        return try #require(json as? [String: Any])
    }

    /// Sums of each figure, and the same of the profile compared with.
    private static func sums(_ data: [String: Any], _ key: String) throws -> [Int64] {
        let samples = try #require(data["samples"] as? [String: Any])
        return try #require(samples[key] as? [[Int64]]).map { $0.reduce(0, +) }
    }

    @Test func `The generated assets are those in Assets`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let (status, output) = try ExportTests.run(
            "python3", [root + "/Sources/ReportPage/embed", "--check"])
        #expect(status == 0, "\(output)")
    }

    @Test func `The figures add up to the profile's, and stacks lead to the root`() throws {
        let session = try Fixture.session()
        let totals = try #require(session.profile).totals
        let data = try Self.data(try Self.page(session))
        #expect(try Self.sums(data, "values") == SampleType.allCases.map { $0.value(of: totals) })
        let nodes = try #require(data["nodes"] as? [String: [Int]])
        let parents = try #require(nodes["parent"])
        #expect(parents.enumerated().allSatisfy { $0.element <= $0.offset })
        #expect(data["compares"] is NSNull)
    }

    @Test func `Of two profiles, a function meets its twin that moved and has other arguments`() throws {
        func session(_ name: String, file: String, line: Int, count: UInt64) throws -> SessionSummary {
            var fixture = Fixture()
            fixture.allocate(
                [Fixture.Function(name: name, file: file, line: line), Fixture.main], bytes: 64, count: count)
            var session = try Fixture.session()
            session.profile = fixture.profile()
            return session
        }
        let old = try session("Cache<int>::add(int) [clone .constprop.0]", file: "a.cpp", line: 3, count: 5)
        let new = try session("Cache<long>::add(long)", file: "b.cpp", line: 9, count: 7)
        let data = try Self.data(try Self.page(new, base: old))
        let live = try #require(SampleType.allCases.firstIndex(of: .inuseSpace))
        #expect(try Self.sums(data, "values")[live] == 7 * 64)
        #expect(try Self.sums(data, "base")[live] == 5 * 64)
        let samples = try #require(data["samples"] as? [String: Any])
        #expect((samples["node"] as? [Int])?.count == 1)
        #expect((data["compares"] as? [String: String])?["old"] == "old.pb.gz")
    }

    @Test func `Text of the target cannot leave its place`() throws {
        let attack = "</script><script>alert(1)</script><!--<script>\u{2028}\u{202e}{{script}}"
        var fixture = Fixture()
        fixture.allocate(
            [Fixture.Function(name: attack, file: attack, line: 1), Fixture.main], bytes: 64, count: 1)
        var session = try Fixture.session(hostile: true)
        session.profile = fixture.profile()
        session.program = attack
        session.commandLine = [attack]
        session.host = attack
        session.notes = [attack]
        session.gauges = [RegionGauge(name: attack, value: .nan)]
        session.add(markers: [RegionMarker(monotonicNanoseconds: 5, label: attack)])
        let page = try Self.page(session)
        #expect(page.components(separatedBy: "<script").count == 3)
        #expect(page.components(separatedBy: "</script").count == 3)
        #expect(!page.contains("<!--"))
        #expect(!page.contains("\u{202e}"))
        let data = try Self.data(page)
        let functions = try #require(data["functions"] as? [String: Any])
        #expect((functions["name"] as? [String])?.contains(Escape.text(attack)) == true)
    }

    @Test func `Object types are a table, and two profiles' are beside each other`() throws {
        func table(_ page: String) throws -> [String: Any]? {
            let tables = try #require(try Self.data(page)["tables"] as? [[String: Any]])
            return tables.first { $0["id"] as? String == "types" }
        }
        let (old, new) = (
            try Fixture.typed(step: 0).summary, try Fixture.typed(step: 1, hostile: true).summary
        )
        let one = try #require(try table(try Self.page(new)))
        #expect((one["rows"] as? [[Any]])?.count == new.types?.rows.count)
        let page = try Self.page(new, base: old)
        #expect(!page.contains("\u{202e}") && page.components(separatedBy: "</script").count == 3)
        let two = try #require(try table(page))
        let rows = try #require(two["rows"] as? [[Any]])
        let session = try #require(rows.first { ($0.last as? [String])?.first == "Session  Python" })
        #expect(session[2] as? Int == 20_000 * 96)
        #expect((session[3] as? [Int]) == [500 * 96, 20_500 * 96])
        #expect((session.last as? [String])?.last == "main.<locals>.<listcomp> (bot.py:12) 100.0 %")
        #expect(two["sortedBy"] as? Int == 2)
        var bare = old
        bare.types = nil
        #expect(try table(try Self.page(new, base: bare)) == nil)
    }

    @Test func `The page names no other place`() throws {
        let page = try Self.page(try Fixture.session())
        for word in [
            "http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttpRequest", "innerHTML", "eval(",
        ] {
            #expect(!page.contains(word), "\(word)")
        }
        #expect(page.contains("default-src 'none'"))
    }
}
