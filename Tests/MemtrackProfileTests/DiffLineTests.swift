// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import Testing

/// Rows are matched by function; what a row is called after is the line that changed.
@Suite struct DiffLineTests {
    /// What `work`, called by `main`, allocates in one line of it.
    private struct Line {
        var line: Int
        var bytes: UInt64
        var count: UInt64
        var freed: UInt64 = 0
        var callerLine = 90
        var caller = "main"
    }

    private static func profile(_ lines: [Line]) -> LoadedProfile {
        var interner = StackInterner(wrappers: WrapperMatcher())
        var sum = ProfileAccumulator()
        var stacks: [(StackID, Line)] = []
        for line in lines {
            func frame(_ function: String, _ number: Int) -> FrameID {
                interner.frame(
                    Frame(function: function, file: "/src/ln.c", line: number, module: "/bin/ln"))
            }
            let caller = interner.stack(parent: 0, frame: frame(line.caller, line.callerLine))
            stacks.append((interner.stack(parent: caller, frame: frame("work", line.line)), line))
        }
        sum.take(
            table: interner.table, modules: [], shim: ShimFigures(), slackBytes: 0, peakMoment: nil)
        for (stack, line) in stacks {
            var counters = Counters()
            counters.allocations = line.count
            counters.allocatedBytes = line.count * line.bytes
            counters.frees = line.freed
            counters.freedBytes = line.freed * line.bytes
            counters.peakBlocks = counters.liveBlocks
            counters.peakBytes = counters.liveBytes
            sum.add(stack: stack, sizeClass: SizeClass.containing(line.bytes), counters)
        }
        let summary = SessionSummary(
            program: "ln", pid: 1, commandLine: [], host: "", start: WallTime(unixSeconds: 0), duration: 1,
            ending: .exited(status: 0), profile: sum.profile)
        return LoadedProfile(name: "ln.pb.gz", summary: summary)
    }

    /// The line, and its caller's, that the one row is called after.
    private static func named(
        _ old: [[Line]], _ new: [[Line]], by unit: DiffUnit = .site
    ) throws -> [Int?] {
        let diff = ProfileDiff(old: old.map(profile), new: new.map(profile), by: unit)
        #expect(diff.rows.count == 1)
        guard case .frame(let frame, let callers)? = diff.rows.first?.label else { return [] }
        return [frame.line, callers.first?.line]
    }

    private static let large = Line(line: 4, bytes: 1_000_000, count: 1)

    @Test(arguments: [DiffUnit.site, .stack]) func isTheOneThatGrewNotTheHeaviest(unit: DiffUnit) throws {
        let leak = Line(line: 7, bytes: 100, count: 1_000, callerLine: 91)
        #expect(try Self.named([[Self.large]], [[Self.large, leak]], by: unit) == [7, 91])
        // The same with all code moved by ten lines, and with several runs a side.
        let moved = Line(line: 14, bytes: 1_000_000, count: 1, callerLine: 95)
        let after = [moved, Line(line: 17, bytes: 100, count: 1_000, callerLine: 96)]
        #expect(try Self.named([[Self.large]], [after], by: unit) == [17, 96])
        #expect(try Self.named([[Self.large], [Self.large]], [after, after], by: unit) == [17, 96])
        #expect(try Self.named([[Self.large], [Self.large], [Self.large]], [after], by: unit) == [17, 96])
    }

    /// As much is allocated as before, but not all of it is freed any more.
    @Test func isTheOneThatKeepsWhatItFreed() throws {
        let freed = Line(line: 7, bytes: 100, count: 1_000, freed: 1_000)
        let kept = Line(line: 9, bytes: 100, count: 1_000, freed: 400)
        #expect(try Self.named([[Self.large, freed]], [[Self.large, kept]]) == [9, 90])
    }

    @Test func isTheOneThatHasGoneWhereTheRowShrank() throws {
        let more = Line(line: 7, bytes: 100, count: 1_000)
        let less = Line(line: 7, bytes: 100, count: 200)
        #expect(try Self.named([[Self.large, more]], [[Self.large, less]]) == [7, 90])
        #expect(try Self.named([[Self.large, more]], [[Self.large]]) == [7, 90])
    }

    /// Through which caller it grew, where one line has several.
    @Test func hasTheCallersThroughWhichItGrew() throws {
        let through = Line(line: 4, bytes: 100, count: 10, callerLine: 30, caller: "parse")
        var more = through
        more.count = 500
        #expect(try Self.named([[Self.large, through]], [[Self.large, more]]) == [4, 30])
    }

    @Test func isTheHeaviestWhereNothingChanged() throws {
        let small = Line(line: 7, bytes: 100, count: 10)
        #expect(try Self.named([[Self.large, small]], [[Self.large, small]]) == [4, 90])
    }
}
