// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
public import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackSymbols

/// A final report from one region alone, without the launcher that could have told more.
public enum RegionReport {
    /// - Parameter withTypes: look at the objects of a process that runs; where that cannot be, `types` says why.
    public static func summary(
        ofRegionAt path: String, wrappers: WrapperMatcher, withTypes: Bool = false,
        progress: @escaping ProfileBuilder.Progress
    ) throws -> SessionSummary {
        let file = try RegionFile(path: path)
        let symbols = SymbolSource(wrappers: wrappers)
        let liveness = Liveness()
        let siblings = siblings(of: path)
        var identity = try file.identity()
        func isRunningNow() -> Bool {
            liveness.refresh()
            return liveness.state(of: file, &identity, among: siblings) == .running
        }
        let isRunning = isRunningNow()
        let snapshot = try file.snapshot()
        // Before names are looked up: that may take seconds, in which the program goes on.
        var outcome: ObjectCensus.Outcome?
        if withTypes, isRunning {
            outcome = ObjectCensus(symbols: symbols).take(snapshot, file: file, isRunning: isRunningNow)
        }
        let map = PerfMaps().map(of: identity.pid)
        var stacks = NodeStacks()
        let profile = symbols.builder.profile(
            of: snapshot, memory: &stacks, runtimeName: { address in map?.name(at: address) },
            progress: progress)

        let procfs = Procfs()
        let age = Clocks.seconds(
            since: identity.createdMonotonicNanoseconds,
            clockOffset: procfs.clockOffset(of: identity.pid, .monotonic))
        let start = Clocks.wallTime(unixNanoseconds: identity.createdRealtimeNanoseconds)
        var summary = SessionSummary(
            program: Frame.baseName(identity.executable), pid: identity.pid, commandLine: identity.arguments,
            host: Clocks.hostName, start: start,
            startMonotonicNanoseconds: identity.createdMonotonicNanoseconds,
            duration: isRunning ? age : 0, ending: isRunning ? .running : .unknown,
            profile: profile)
        let own = isRunning ? try? file.ownMemory() : nil
        let shim = own.map { ShimUse(of: identity.pid, own: $0, procfs: procfs) }
        summary.shimBytes = shim?.resident
        let memory = isRunning ? try? procfs.memory(of: identity.pid, withPSS: false) : nil
        summary.processes = [
            ProcessRecord(
                identity: identity, totals: profile.totals, isAlive: isRunning,
                figures: memory.map { ProcessFigures($0, shim: shim) })
        ]
        summary.add(
            markers: snapshot.markers, earlier: max(0, snapshot.markersSet - snapshot.markers.count))
        summary.gauges = snapshot.gauges
        if withTypes {
            var types: TypeAccumulator?
            outcome?.add(to: &types, snapshot, stacks: stacks, names: profile.table)
            summary.types = types?.types ?? gone(identity)
            summary.types?.elapsed = age
        }
        summary.hints = symbols.notes(on: profile)
        return summary
    }

    private static func gone(_ identity: RegionIdentity) -> TypeTable {
        var table = TypeTable()
        table.problems = [
            "No types for \(Frame.baseName(identity.executable)) (\(identity.pid)): it has ended, and its memory with it; "
                + "memtrack report shows its sites."
        ]
        return table
    }

    static func siblings(of path: String) -> [RegionFileName] {
        let end = path.lastIndex(of: "/")
        return SessionDirectory(path: end.map { String(path[..<$0]) } ?? ".").regionFiles()
    }
}
