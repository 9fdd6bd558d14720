// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import Testing

/// With `--sample` the table of size classes has both: counts of every allocation, and estimates of what is live.
@Suite struct SamplingTextTests {
    /// The fixture's 48-byte blocks, counted one by one, and a class that no sample has hit.
    private static func sampling() -> Sampling {
        func share(_ bytes: UInt64, _ allocations: UInt64) -> SizeClassShare {
            var counters = Counters()
            counters.allocations = allocations
            counters.allocatedBytes = allocations * bytes
            return SizeClassShare(sizeClass: SizeClass.containing(bytes), counters: counters)
        }
        return Sampling(periodBytes: 4096, exact: [share(48, 2_399_001), share(96, 7)])
    }

    private static func section(_ text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false).drop { !$0.hasPrefix("Size classes") }
            .prefix { !$0.isEmpty }.map { $0 }
    }

    @Test func finalReport() throws {
        var session = try Fixture.session()
        session.profile?.sampling = Self.sampling()
        let rows = Self.section(
            FinalReport.render(session, layout: Layout(width: 120), options: FinalReport.Options(limit: 50)))
        #expect(rows.first?.contains("live estimated, allocations exact") == true)
        #expect(rows.dropFirst().first?.contains("±  allocations") == true)
        #expect(rows.contains { $0.contains("48-55 B") && $0.contains("2,399,001") && $0.contains(" %") })
        #expect(rows.contains { $0.contains("96-111 B") && $0.contains("0 B") && $0.contains(" 7") })
        session.profile?.sampling = Sampling(periodBytes: 4096)
        let estimated = Self.section(FinalReport.render(session, layout: Layout(width: 120)))
        #expect(estimated.first?.hasSuffix("; estimated") == true)
        #expect(estimated.contains { $0.contains("48-55 B") && $0.contains("2,400,000") })
    }

    @Test func checkpoint() throws {
        var checkpoint = try Fixture.checkpoints()[1]
        checkpoint.objects?.sampling = Self.sampling()
        let rows = Self.section(CheckpointText.render(checkpoint, layout: Layout(width: 80)))
        #expect(rows.first?.contains("live estimated, allocations exact") == true)
        #expect(rows.contains { $0.contains("2,399,001") })
    }

    @Test func json() throws {
        var session = try Fixture.session()
        session.profile?.sampling = Self.sampling()
        let json = try JSONSerialization.jsonObject(with: Data(ReportJSON.report(session)))
        let classes = try #require((json as? [String: Any])?["sizeClasses"] as? [[String: Any]])
        let small = try #require(classes.first { $0["minimumBytes"] as? Int == 48 })
        #expect(small["exactAllocations"] as? Int == 2_399_001)
        #expect(small["allocations"] as? Int == 2_400_000)
        let unhit = try #require(classes.first { $0["minimumBytes"] as? Int == 96 })
        #expect(unhit["exactAllocations"] as? Int == 7 && unhit["allocations"] as? Int == 0)
    }

    /// Of a part of the profile nothing was counted by size.
    @Test func aSelectionHasEstimatesAlone() throws {
        var session = try Fixture.session()
        session.profile?.sampling = Self.sampling()
        let profile = try #require(session.profile)
        let picked = ProfileSelection(filter: try TextPattern("Parser", option: "--filter")).apply(
            to: profile)
        #expect(picked.sampling?.periodBytes == 4096 && picked.sampling?.exact.isEmpty == true)
        #expect(ProfileSelection().apply(to: profile).sampling?.exact.count == 2)
    }
}
