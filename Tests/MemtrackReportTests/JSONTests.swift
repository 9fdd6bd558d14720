// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import Testing

@Suite struct JSONTests {
    private func parse(_ bytes: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    @Test func reportSaysWhatTheProfileSays() throws {
        let session = try Fixture.session()
        let profile = try #require(session.profile)
        let json = try parse(ReportJSON.report(session))
        let totals = try #require(json["totals"] as? [String: Any])
        #expect(totals["allocations"] as? UInt64 == profile.totals.allocations)
        #expect(totals["allocatedBytes"] as? UInt64 == profile.totals.allocatedBytes)
        #expect(totals["frees"] as? UInt64 == profile.totals.frees)
        #expect(totals["freedBytes"] as? UInt64 == profile.totals.freedBytes)
        #expect(totals["liveBlocks"] as? Int64 == profile.totals.liveBlocks)
        #expect(totals["liveBytes"] as? Int64 == profile.totals.liveBytes)
        #expect(totals["peakBytes"] as? Int64 == profile.totals.peakBytes)
        #expect(totals["temporaryAllocations"] as? UInt64 == profile.totals.temporary)

        let sites = try #require(json["sites"] as? [[String: Any]])
        let frames = try #require(json["frames"] as? [[String: Any]])
        #expect(sites.count == profile.sites.count)
        for (site, object) in zip(profile.sites, sites) {
            #expect(object["function"] as? String == site.frame.function)
            #expect(object["file"] as? String == site.frame.file)
            #expect(object["line"] as? Int == site.frame.line)
            #expect(object["module"] as? String == site.frame.module)
            #expect(object["liveBytes"] as? Int64 == site.counters.liveBytes)
            #expect(object["allocations"] as? UInt64 == site.counters.allocations)
            let stacks = try #require(object["stacks"] as? [[String: Any]])
            #expect(stacks.count == site.stacks.count)
            let places = try #require(stacks.first?["frames"] as? [Int])
            let stack = try #require(object["stack"] as? [[String: Any]])
            #expect(
                places.map { frames[$0]["function"] as? String } == stack.map { $0["function"] as? String })
        }
        let first = try #require(sites.first)
        #expect(
            (first["stack"] as? [[String: Any]])?.compactMap { $0["function"] as? String }.last
                == "__libc_start_call_main")
        #expect((json["sizeClasses"] as? [[String: Any]])?.count == profile.sizeClasses.count)
        #expect(
            (json["processes"] as? [[String: Any]])?.map { $0["pid"] as? Int } == [
                4211, 4213, 4220, 4220, 4221,
            ])
        #expect((json["health"] as? [String: Any])?["truncatedStacks"] as? Int == 3)
        #expect((json["checkpoints"] as? [[String: Any]])?.map { $0["number"] as? Int } == [1, 2])
        #expect((json["peak"] as? [String: Any])?["secondsSinceStart"] as? Double == 60.5)
        #expect(json["startTime"] as? String == "2026-03-01T14:22:01+01:00")
        #expect(json["exitStatus"] as? Int == 0)
    }

    @Test func reportHasWhatTheProgramSaid() throws {
        var session = try Fixture.session()
        session.add(markers: [RegionMarker(monotonicNanoseconds: 7, label: "warmed up")])
        session.gauges = [RegionGauge(name: "queue", value: 2.5)]
        let json = try parse(ReportJSON.report(session))
        let marker = try #require((json["markers"] as? [[String: Any]])?.last)
        #expect(marker["label"] as? String == "warmed up")
        #expect(marker["monotonicNanoseconds"] as? Int == 7)
        let gauge = try #require((json["gauges"] as? [[String: Any]])?.first)
        #expect(gauge["name"] as? String == "queue")
        #expect(gauge["value"] as? Double == 2.5)
    }

    @Test func whatIsNotKnownIsNull() throws {
        var session = try Fixture.session()
        session.profile = nil
        session.ending = .unknown
        let json = try parse(ReportJSON.report(session))
        for key in ["totals", "peak", "exitStatus", "signal"] { #expect(json[key] is NSNull, "\(key)") }
        #expect((json["sites"] as? [Any])?.isEmpty == true)
        let processes = try #require(json["processes"] as? [[String: Any]])
        #expect(processes[3]["totals"] is NSNull)
        let figures = try #require(
            (json["checkpoints"] as? [[String: Any]])?.first?["figures"] as? [String: Any])
        #expect(figures["pssBytes"] is NSNull && figures["rssBytes"] as? Int == 188_743_680)
    }

    @Test func hostileTextSurvives() throws {
        let json = try parse(ReportJSON.report(try Fixture.session(hostile: true)))
        let sites = try #require(json["sites"] as? [[String: Any]])
        #expect(sites[0]["function"] as? String == "\u{1b}[2J\u{202e}evil\nname\u{200b}")
        #expect(sites[0]["line"] as? Int == -3)
    }

    @Test func aCheckpointIsOneLine() throws {
        var checkpoint = try Fixture.checkpoints(hostile: true)[1]
        checkpoint.gauges = [
            RegionGauge(name: "n\n", value: .nan), RegionGauge(name: "i", value: .infinity),
            RegionGauge(name: "x", value: 0.1),
        ]
        let bytes = try ReportJSON.line(checkpoint)
        #expect(bytes.filter { $0 == 0x0a }.count == 1 && bytes.last == 0x0a)
        let json = try parse(bytes)
        let objects = try #require(checkpoint.objects)
        let sites = try #require(json["sites"] as? [[String: Any]])
        #expect(sites.map { $0["liveBytesChange"] as? Int64 } == objects.rows.map(\.liveChange))
        #expect(sites.map { $0["newAllocations"] as? UInt64 } == objects.rows.map(\.newAllocations))
        #expect((json["figures"] as? [String: Any])?["memtrackBytes"] as? Int == 4_404_019)
        let gauges = try #require(json["gauges"] as? [[String: Any]])
        #expect(gauges[0]["value"] as? String == "NaN" && gauges[2]["value"] as? Double == 0.1)
        #expect((json["markers"] as? [[String: Any]])?.first?["label"] as? String == "batch 2 loaded")
    }
}
