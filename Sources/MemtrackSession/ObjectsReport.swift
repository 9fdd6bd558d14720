// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProcfs
public import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackSymbols

/// What the memory of one living process is, looked at from outside.
public enum ObjectsReport {
    public static func types(
        ofRegionAt path: String, wrappers: WrapperMatcher, progress: @escaping ProfileBuilder.Progress
    ) throws -> TypeTable {
        let file = try RegionFile(path: path)
        let snapshot = try file.snapshot()
        let identity = snapshot.identity
        let symbols = SymbolSource(wrappers: wrappers)
        let liveness = Liveness()
        guard liveness.state(of: identity, among: RegionReport.siblings(of: path)) == .running else {
            var table = TypeTable()
            table.problems = [
                "No types for \(Frame.baseName(identity.executable)) (\(identity.pid)): it has ended, and its memory with it; "
                    + "memtrack report shows its sites."
            ]
            return table
        }
        let siblings = RegionReport.siblings(of: path)
        let outcome = ObjectCensus(symbols: symbols).take(snapshot, file: file) {
            liveness.state(of: identity, among: siblings) == .running
        }
        let map = PerfMaps().map(of: identity.pid)
        var stacks = NodeStacks()
        let profile = symbols.builder.profile(
            of: snapshot, memory: &stacks, runtimeName: { address in map?.name(at: address) },
            progress: progress)
        var types: TypeAccumulator?
        outcome.add(to: &types, snapshot, stacks: stacks, names: profile.table)
        var table = types?.types ?? TypeTable()
        let now = Clocks.monotonicNanoseconds
        table.elapsed = Double(now &- min(now, identity.createdMonotonicNanoseconds)) / 1e9
        return table
    }
}
