// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackProfile
import MemtrackRegion
import MemtrackSymbols

/// A session with fixed figures: a C++ program with one worker and one shell command.
struct Fixture {
    struct Function {
        var name: String
        var file: String?
        var line: Int?
        var module = "/opt/bot/bin/bot"
    }

    private var functions: [UInt64: Function] = [:]
    private var snapshot: RegionSnapshot
    private static let modules = ["/opt/bot/bin/bot", "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6"]

    init(pid: Int32 = 4211) {
        snapshot = RegionSnapshot(
            identity: RegionIdentity(
                pid: pid, parentPID: 1, createdBoottimeNanoseconds: 0, pidNamespace: 0, bootID: "",
                createdRealtimeNanoseconds: 0, createdMonotonicNanoseconds: 0,
                parentCreatedMonotonicNanoseconds: 0, uid: 0, origin: .exec, executable: "", arguments: []))
        for (index, path) in Self.modules.enumerated() {
            snapshot.modules[UInt16(index + 1)] = RegionModule(
                start: 0, end: 0x1000_0000, bias: 0, buildID: [], path: path)
        }
    }

    mutating func allocate(
        _ stack: [Function], bytes: UInt64, count: UInt64, freed: UInt64 = 0, temporary: UInt64 = 0,
        peak: Int64 = 0
    ) {
        var parent: UInt32 = 0
        for function in stack.reversed() {
            let address = UInt64(functions.count) * 16 + 0x1000
            functions[address] = function
            let module = UInt16((Self.modules.firstIndex(of: function.module) ?? 0) + 1)
            snapshot.nodes.append(RegionNode(address: address + 1, parent: parent, module: module))
            parent = UInt32(snapshot.nodes.count - 1)
        }
        var counters = Counters()
        counters.allocations = count
        counters.allocatedBytes = count * bytes
        counters.frees = freed
        counters.freedBytes = freed * bytes
        counters.temporary = temporary
        counters.peakBlocks = peak
        counters.peakBytes = peak * Int64(bytes)
        let kind = stack.isEmpty ? RegionCellKind.overflow : .site
        snapshot.cells.append(
            RegionCell(
                kind: kind, stack: parent, sizeClass: SizeClass.containing(bytes), counters: counters))
    }

    func profile(_ change: (inout RegionSnapshot) -> Void = { _ in }) -> Profile {
        var snapshot = snapshot
        change(&snapshot)
        return ProfileBuilder { _, address in
            guard let function = functions[address], !function.name.isEmpty else { return [] }
            return [SourceFrame(function: function.name, file: function.file, line: function.line)]
        }.profile(of: snapshot)
    }

    static let main = Function(name: "main", file: "/src/bot/main.cpp", line: 48)
    static let load = Function(
        name: "Loader::load(std::string const&)", file: "/src/bot/loader.cpp", line: 212)
    static let parse = Function(
        name: "std::vector<Token> Parser<Config>::tokens(std::string_view, bool) const",
        file: "/src/bot/parser.cpp", line: 77)
    static let index = Function(
        name: "Index::insert(std::map<std::string, std::vector<Document, PoolAllocator<Document> > > const&, "
            + "std::shared_ptr<Snapshot>)", file: "/src/bot/index.cpp", line: 1_204)
    static let reply = Function(name: "Session::reply(int)", file: "/src/bot/session.cpp", line: 9)
    static let new = Function(name: "operator new(unsigned long)")
    static let malloc = Function(name: "malloc")
    static let page = Function(name: "pcache1Alloc", module: modules[1])
    static let sqlite = Function(name: "sqlite3BtreeOpen", module: modules[1])
    static let unnamed = Function(name: "")
    static let start = Function(name: "__libc_start_call_main")

    /// The program's cells after a while; `step` 0 is the earlier moment.
    static func bot(step: UInt64, hostile: Bool = false) -> Fixture {
        var fixture = Fixture()
        fixture.allocate(
            [new, index, load, main, start], bytes: 4_096, count: 3_100 + 900 * step, freed: 40,
            temporary: 12,
            peak: 3_900)
        fixture.allocate(
            [new, parse, load, main, start], bytes: 48, count: 1_200_000 * (step + 1),
            freed: 1_199_000 * (step + 1), temporary: 900_000, peak: 24_000)
        fixture.allocate(
            [malloc, reply, main, start], bytes: 700, count: 61_000, freed: 60_000 + 500 * step,
            temporary: 100, peak: 800)
        fixture.allocate([page, sqlite, load, main, start], bytes: 1_000_000, count: 2, peak: 2)
        fixture.allocate([malloc, unnamed, main, start], bytes: 24, count: 7, freed: 7)
        fixture.allocate([], bytes: 16, count: 3)
        for number in 0..<6 {
            let function = Function(
                name: "task_\(number)", file: "/src/bot/tasks.c", line: 10 + number)
            fixture.allocate([malloc, function, main, start], bytes: UInt64(20 << number), count: 10)
        }
        if hostile {
            let evil = Function(
                name: "\u{1b}[2J\u{202e}evil\nname\u{200b}", file: "a\u{7}b\u{9b}31m.c", line: -3)
            fixture.allocate([evil, main], bytes: 99_000_000, count: 1, peak: 1)
        }
        return fixture
    }

    static func figures(step: UInt64) -> ProcessFigures {
        ProcessFigures(
            rss: 188_743_680 + 3_276_800 * step, vms: 1_288_490_188, peakRSS: 199_229_440, swap: 0,
            pss: step == 0 ? nil : 187_000_000, totalRAM: 8_589_934_592, threads: 6, childCount: 2,
            childrenRSS: 47_185_920 - 1_048_576 * step, shimBytes: 4_404_019)
    }

    /// Two checkpoints, 30 seconds apart.
    static func checkpoints(
        order: SiteOrder = .live, filter: String? = nil, hostile: Bool = false
    ) throws -> [Checkpoint] {
        var tracker = CheckpointTracker(
            program: "bot", pid: 4211,
            options: .init(order: order, filter: try filter.map { try SiteFilter($0) }, limit: 6))
        return (0..<2).map { step in
            var checkpoint = tracker.checkpoint(
                time: WallTime(unixSeconds: 1_772_371_351 + Double(step) * 30, utcOffsetSeconds: 3_600),
                elapsed: Double(step + 1) * 30, figures: figures(step: UInt64(step)),
                profile: bot(step: UInt64(step), hostile: hostile).profile())
            if step == 1 {
                checkpoint.markers = [RegionMarker(monotonicNanoseconds: 5, label: "batch 2 loaded")]
                checkpoint.gauges = [RegionGauge(name: "queue depth", value: 12.5)]
            }
            return checkpoint
        }
    }

    static func session(hostile: Bool = false) throws -> SessionSummary {
        let profile = bot(step: 1, hostile: hostile).profile { snapshot in
            snapshot.peakMonotonicNanoseconds = 72_500_000_000
            snapshot.peakSlackBytes = 131_072
            snapshot.health.unknownFrees = 12
            snapshot.health.truncatedStacks = 3
            snapshot.stackDepth = 64
            snapshot.regionBytes = 1_310_720
            snapshot.privateBytes = 8_388_608
        }
        var session = SessionSummary(
            program: "bot", pid: 4211, commandLine: ["./bot", "--config", "prod.toml"], host: "vm-7",
            start: WallTime(unixSeconds: 1_772_371_321, utcOffsetSeconds: 3_600),
            startMonotonicNanoseconds: 12_000_000_000, duration: 95.2, ending: .exited(status: 0),
            profile: profile)
        for checkpoint in try checkpoints(hostile: hostile) { session.series.add(checkpoint) }
        session.interval = 30
        session.shimBytes = 4_404_019
        session.historyPath = "data/memory_diagnostics/bot_memory_monitor_20260301_142201_pid4211.txt"
        var small = Counters()
        small.allocations = 1_204
        small.allocatedBytes = 300_000
        small.freedBytes = 250_000
        small.peakBytes = 120_000
        session.processes = [
            ProcessRecord(
                pid: 4211, parentPID: 1, executable: "/opt/bot/bin/bot", createdMonotonicNanoseconds: 1,
                totals: profile.totals, figures: figures(step: 1)),
            ProcessRecord(
                pid: 4213, parentPID: 4211, executable: "/opt/bot/bin/bot", origin: .fork,
                createdMonotonicNanoseconds: 2, isAlive: true, totals: small,
                figures: ProcessFigures(rss: 20_000_000, vms: 0)),
            ProcessRecord(
                pid: 4220, parentPID: 4211, executable: "/usr/bin/dash", createdMonotonicNanoseconds: 3,
                wasReplaced: true, totals: small),
            ProcessRecord(
                pid: 4220, parentPID: 4211, executable: hostile ? "/tmp/\u{1b}]0;x\u{7}" : "/usr/bin/git",
                createdMonotonicNanoseconds: 4),
            ProcessRecord(
                pid: 4221, parentPID: 4213, executable: "/usr/bin/sqlite3", createdMonotonicNanoseconds: 5,
                totals: small),
        ]
        session.notes = ["bot (4213) is still running; memtrack report --pid 4213 shows it."]
        return session
    }
}
