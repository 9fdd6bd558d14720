// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
public import MemtrackProfile
internal import MemtrackRegion

/// A final report from one region alone, without the launcher that could have told more.
public enum RegionReport {
    public static func summary(
        ofRegionAt path: String, wrappers: WrapperMatcher, progress: @escaping ProfileBuilder.Progress
    ) throws -> SessionSummary {
        let snapshot = try RegionFile(path: path).snapshot()
        let identity = snapshot.identity
        let symbols = SymbolSource(wrappers: wrappers)
        let profile = symbols.builder.profile(of: snapshot, progress: progress)
        let procfs = Procfs()
        let isAlive = procfs.isAlive(pid: identity.pid, startTicks: identity.startTicks)
        let now = Clocks.monotonicNanoseconds
        let age = now > identity.createdMonotonicNanoseconds ? now - identity.createdMonotonicNanoseconds : 0
        let start = WallTime(
            unixSeconds: Double(identity.createdRealtimeNanoseconds) / 1e9,
            utcOffsetSeconds: Clocks.wallTime.utcOffsetSeconds)
        var summary = SessionSummary(
            program: Frame.baseName(identity.executable), pid: identity.pid, commandLine: identity.arguments,
            host: Clocks.hostName, start: start,
            startMonotonicNanoseconds: identity.createdMonotonicNanoseconds,
            duration: isAlive ? Double(age) / 1e9 : 0, ending: isAlive ? .running : .unknown, profile: profile)
        summary.processes = [
            ProcessRecord(identity: identity, totals: profile.totals, isAlive: isAlive, figures: nil)
        ]
        summary.notes = symbols.notes
        return summary
    }
}
