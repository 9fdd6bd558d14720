// SPDX-License-Identifier: Apache-2.0
import MemtrackObjects
import MemtrackProfile
import MemtrackRegion

/// A profile of three stacks, with one of everything a file can hold.
enum Fixture {
    static func counters(_ scale: UInt64) -> Counters {
        var result = Counters()
        result.allocations = 7 * scale
        result.allocatedBytes = 7_000 * scale
        result.frees = 3 * scale
        result.freedBytes = 3_100 * scale
        result.temporary = 2 * scale
        result.peakBlocks = Int64(5 * scale)
        result.peakBytes = Int64(5_500 * scale)
        return result
    }

    static var types: TypeTable {
        var row = TypeRow(runtime: .python, name: "dict")
        row.count = 7
        row.bytes = 448
        row.ownedBlocks = 6
        row.ownedBytes = 1_000
        row.trackedCount = 5
        row.countChange = -2
        row.bytesChange = -300
        row.sites = [
            TypeSite(
                frame: Frame(function: "load", file: "/src/a.py", line: 3, module: "/src/a.py"), count: 4,
                bytes: 256),
            TypeSite(frame: BuiltInFrame.allocatedMeanwhile, count: 3, bytes: 192),
        ]
        var untyped = TypeRow(runtime: nil, name: "malloc in load")
        untyped.count = 2
        untyped.bytes = 20
        var table = TypeTable()
        table.rows = [row, untyped]
        table.processes = 2
        table.blocks = 15
        table.bytes = 1_468
        table.changedBlocks = 3
        table.tornEntries = 1
        table.unreadableBytes = 4_096
        table.readingSeconds = 0.5
        table.elapsed = 60
        table.changeSince = 30
        table.isAtExit = true
        table.ways = ["python3.11, CPython 3.11: every object is counted."]
        table.problems = ["No types for ls (3): ended while objects were being read."]
        return table
    }

    static var loaded: LoadedProfile {
        var interner = StackInterner(wrappers: WrapperMatcher())
        func frame(_ function: String, _ line: Int?, _ module: String = "/bin/prog") -> FrameID {
            interner.frame(
                Frame(
                    function: function, file: line.map { _ in "/src/a.cpp" }, line: line, module: module,
                    kind: function.contains("+0x") ? .address : .function))
        }
        let main = interner.stack(parent: 0, frame: frame("main", 9))
        let outer = interner.stack(parent: main, frame: frame("load(std::string)", 20))
        let inlined = interner.stack(parent: outer, frame: frame("make<int>(int)", 5), isInlined: true)
        let wrapped = interner.stack(
            parent: inlined, frame: frame("operator new(unsigned long)", nil, "/lib/c++.so"))
        let unknown = interner.stack(parent: main, frame: frame("c++.so+0x1234", nil, "/lib/c++.so"))
        let full = interner.stack(of: BuiltInFrame.regionFull)
        var sum = ProfileAccumulator()
        var shim = ShimFigures()
        shim.health.truncatedStacks = 3
        shim.regionBytes = 4_096
        sum.take(
            table: interner.table,
            modules: [
                ProfileModule(path: "/bin/prog", buildID: [0xab, 0x01]),
                ProfileModule(path: "/lib/c++.so", buildID: []),
            ], shim: shim, slackBytes: 65_536, peakMoment: 2_000)
        sum.add(stack: wrapped, sizeClass: SizeClass.containing(1_000), counters(1))
        sum.add(stack: wrapped, sizeClass: SizeClass.containing(0), counters(2))
        sum.add(stack: unknown, sizeClass: SizeClass.containing(64), counters(3))
        var inherited = Counters()
        inherited.frees = 4
        inherited.freedBytes = 400
        sum.add(stack: full, sizeClass: SizeClass.containing(1 << 50), inherited)

        var summary = SessionSummary(
            program: "prog", pid: 4_711, commandLine: ["./prog", "-\u{1b}x"], host: "box",
            start: WallTime(unixSeconds: 1_700_000_000.5, utcOffsetSeconds: 3_600),
            startMonotonicNanoseconds: 1_000, duration: 2.5, ending: .signalled(number: 9, name: "SIGKILL"),
            profile: sum.profile)
        summary.interval = 30
        summary.series.add(
            CheckpointSummary(
                number: 1, time: WallTime(unixSeconds: 1_700_000_001, utcOffsetSeconds: 3_600), elapsed: 0.5,
                figures: ProcessFigures(rss: 10, vms: 20, peakRSS: nil, swap: 3), totals: counters(1)))
        summary.processes = [
            ProcessRecord(
                pid: 4_711, parentPID: 1, executable: "/bin/prog", arguments: ["./prog"], origin: .fork,
                createdMonotonicNanoseconds: 5, isAlive: false, totals: counters(1))
        ]
        summary.add(markers: [RegionMarker(monotonicNanoseconds: 7, label: "ready")], earlier: 2)
        summary.gauges = [RegionGauge(name: "cache", value: .infinity)]
        summary.types = types
        return LoadedProfile(name: "prog.pb.gz", summary: summary, producer: "memtrack test")
    }
}
