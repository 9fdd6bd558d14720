// SPDX-License-Identifier: Apache-2.0
import MemtrackObjects
import MemtrackProfile
import MemtrackProfileFile
import MemtrackRegion
import Testing

/// What is written is what is read.
@Suite struct RoundTripTests {
    private static func lines(_ profile: Profile) -> [String] {
        profile.samples.map { sample in
            let frames = profile.table.frameIDs(of: sample.stack).map { id -> String in
                let frame = profile.table.frame(id)
                return "\(frame) wrapper=\(profile.table.isWrapper(id))"
            }
            return "\(sample.sizeClass) \(sample.counters) \(frames)"
        }.sorted()
    }

    private static func inlined(_ profile: Profile) -> Set<String> {
        var result: Set<String> = []
        for sample in profile.samples {
            var id = sample.stack
            while id != 0 {
                if profile.table.isInlined(id) {
                    result.insert(profile.table.frame(profile.table.innermost(of: id)).function)
                }
                id = profile.table.parent(of: id)
            }
        }
        return result
    }

    @Test func theProfileIsTheSame() throws {
        let written = Fixture.loaded
        let encoded = try ProfileFile.encode(written)
        let read = try ProfileFile.decode(
            name: "prog.pb.gz", profile: encoded.profile, companion: encoded.companion,
            wrappers: WrapperMatcher())
        #expect(Self.lines(read.profile) == Self.lines(written.profile))
        #expect(Self.inlined(read.profile) == ["make<int>(int)"])
        #expect(read.profile.totals == written.profile.totals)
        #expect(read.profile.peak == written.profile.peak)
        #expect(read.profile.shim == written.profile.shim)
        #expect(read.profile.modules == written.profile.modules)
        #expect(read.sampleTypes == Set(SampleType.allCases))
        #expect(read.hasCompanion && read.producer == "memtrack test")
    }

    @Test func theCompanionIsTheSame() throws {
        let written = Fixture.loaded.summary
        let encoded = try ProfileFile.encode(Fixture.loaded)
        let read = try ProfileFile.decode(
            name: "x", profile: encoded.profile, companion: encoded.companion, wrappers: WrapperMatcher()
        ).summary
        #expect(read.program == written.program && read.pid == written.pid)
        #expect(read.commandLine == written.commandLine && read.host == written.host)
        #expect(read.start == written.start && read.duration == written.duration)
        #expect(read.ending == written.ending && read.interval == written.interval)
        #expect(read.series.rss == written.series.rss && read.series.live == written.series.live)
        #expect(read.series.checkpoints.first?.figures == written.series.checkpoints.first?.figures)
        #expect(read.processes.first?.totals == written.processes.first?.totals)
        #expect(read.processes.first?.origin == .fork)
        #expect(read.markers == written.markers && read.markerCount == 3)
        #expect(read.gauges == written.gauges)
        let (types, own) = (try #require(read.types), try #require(written.types))
        #expect(types.rows == own.rows)
        for (name, value) in Self.figures(own) { #expect(Self.figures(types)[name] == value, "\(name)") }
    }

    /// A figure that is added to the table must be added to the file.
    private static func figures(_ table: TypeTable) -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: Mirror(reflecting: table).children.map { ($0.label ?? "", "\($0.value)") })
    }

    /// Figures of a file may be anything; text of it is never taken for ours.
    @Test func typesOfAHostileFile() throws {
        let encoded = try ProfileFile.encode(Fixture.loaded)
        var text = String(decoding: encoded.companion, as: UTF8.self)
        for (from, to) in [
            ("\"count\" : 7", "\"count\" : -9223372036854775808"),
            ("\"count\" : 2", "\"count\" : 9223372036854775807"),
            ("\"trackedCount\" : 5", "\"trackedCount\" : 9223372036854775807"),
            ("\"bytes\" : 448", "\"bytes\" : 18446744073709551615"),
            ("\"bytesChange\" : -300", "\"bytesChange\" : -9223372036854775808"),
            ("\"blocks\" : 15", "\"blocks\" : -9223372036854775808"),
            ("(allocated while memory was being read)", "(\\u001b[2J)"),
            ("\"runtime\" : \"Python\"", "\"runtime\" : \"Swift\""),
        ] {
            #expect(text.contains(from))
            text = text.replacing(from, with: to)
        }
        let read = try ProfileFile.decode(
            name: "x", profile: encoded.profile, companion: Array(text.utf8), wrappers: WrapperMatcher())
        let types = try #require(read.summary.types)
        #expect(types.objects >= 0 && types.trackedObjects >= 0 && types.blocks >= 0)
        #expect(types.rows.count == 2 && types.rows.allSatisfy { $0.count >= 0 })
        #expect(types.rows.flatMap(\.sites).allSatisfy { $0.frame.kind == .function })
        _ = LoadedProfile.merged([read, read], name: "m")
        _ = try TypeDiff(old: [read], new: [read, read])
        text = text.replacing("\"runtime\" : \"Swift\"", with: "\"runtime\" : \"Cobol\"")
        let later = try ProfileFile.decode(
            name: "x", profile: encoded.profile, companion: Array(text.utf8), wrappers: WrapperMatcher())
        #expect(later.summary.types?.rows.map(\.name) == ["malloc in load"])
    }

    @Test func aFunctionThatWasAWrapperIsOneWhenRead() throws {
        var interner = StackInterner(
            wrappers: WrapperMatcher(userPatterns: [try TextPattern("^arena_", option: "--alloc-fn")]))
        let main = interner.stack(parent: 0, frame: interner.frame(Frame(function: "main")))
        let arena = interner.stack(parent: main, frame: interner.frame(Frame(function: "arena_get")))
        var sum = ProfileAccumulator()
        sum.take(
            table: interner.table, modules: [], shim: ShimFigures(), slackBytes: 0, peakMoment: nil)
        sum.add(stack: arena, sizeClass: 3, Fixture.counters(1))
        var loaded = Fixture.loaded
        loaded.summary.profile = sum.profile
        let encoded = try ProfileFile.encode(loaded)
        let read = try ProfileFile.decode(
            name: "x", profile: encoded.profile, companion: encoded.companion, wrappers: WrapperMatcher())
        #expect(read.profile.sites.map(\.frame.function) == ["main"])
    }

    @Test func withoutItsOwnCompanionAProfileStandsAlone() throws {
        let encoded = try ProfileFile.encode(Fixture.loaded)
        var other = Fixture.loaded
        other.summary.host = "elsewhere"
        let foreign = try ProfileFile.encode(other).companion
        for (companion, word) in [
            (nil, "is not there"), (foreign, "belongs to another"), (Array("{}".utf8), "is damaged"),
        ] as [([UInt8]?, String)] {
            let read = try ProfileFile.decode(
                name: "p.pb.gz", profile: encoded.profile, companion: companion, wrappers: WrapperMatcher())
            #expect(!read.hasCompanion)
            #expect(read.summary.notes.count == 1)
            #expect(read.summary.notes.first?.hasPrefix("p.json \(word)") ?? false)
            #expect(read.companionProblem == read.summary.notes.first)
            #expect(read.summary.program == "prog")
            #expect(read.profile.totals == Fixture.loaded.profile.totals)
        }
    }

    /// How exact the peak is, is in the profile itself; and where it is not known, it is not called exact.
    @Test func theSlackOfThePeakOutlivesTheCompanion() throws {
        var loaded = Fixture.loaded
        for (slack, processes) in [(65_536, 1), (0, 1), (327_680, 4), (nil, 1)] as [(UInt64?, Int)] {
            loaded.summary.profile?.peak = Peak(slackBytes: slack, processes: processes)
            let encoded = try ProfileFile.encode(loaded)
            for companion in [nil, encoded.companion] {
                let read = try ProfileFile.decode(
                    name: "p.pb.gz", profile: encoded.profile, companion: companion,
                    wrappers: WrapperMatcher())
                #expect(read.profile.peak.slackBytes == slack)
                #expect(read.profile.peak.processes == processes)
            }
        }
    }

    @Test func aCompanionThatCannotBeReadIsNamedWithItsReason() throws {
        let read = try ProfileFile.decode(
            name: "p.pb.gz", profile: try ProfileFile.encode(Fixture.loaded).profile, companion: nil,
            wrappers: WrapperMatcher(), unread: "has more than 64 MB and is not read")
        #expect(read.companionProblem?.hasPrefix("p.json has more than 64 MB and is not read: ") ?? false)
    }

    /// A count that is added to the region must be added to the file.
    @Test func everyCountOfHealthIsKept() throws {
        let text = String(decoding: try ProfileFile.encode(Fixture.loaded).companion, as: UTF8.self)
        for field in Mirror(reflecting: RegionHealth()).children {
            let name = try #require(field.label)
            #expect(text.contains("\"\(name)\""), "\(name)")
        }
    }

    @Test func theCompanionIsBesideTheProfile() {
        #expect(ProfileFile.companionPath(of: "a/bot.pb.gz") == "a/bot.json")
        #expect(ProfileFile.companionPath(of: "bot") == "bot.json")
    }
}
