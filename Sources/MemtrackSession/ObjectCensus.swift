// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProcfs
internal import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackSymbols

/// Takes the census of living processes. What cannot be read leaves a reason, and everything else as it is.
public final class ObjectCensus {
    private let symbolizer: Symbolizer
    private let procfs = Procfs()

    public init(symbols: SymbolSource) {
        symbolizer = symbols.symbolizer
    }

    /// How the reading of one process went.
    public struct Outcome {
        fileprivate var pid: Int32
        fileprivate var executable: String
        fileprivate var result: Result<CensusResult, CensusError>
        /// CPython keeps its small objects where nobody has counted them.
        fileprivate var lacksSmallObjects = false
        fileprivate var changedBlocks: UInt64 = 0
        fileprivate var seconds: Double = 0
    }

    /// - Parameters:
    ///   - snapshot: of this moment.
    ///   - isRunning: whether the very program of the region still runs.
    func take(_ snapshot: RegionSnapshot, file: RegionFile, isRunning: () -> Bool) -> Outcome {
        let identity = snapshot.identity
        let start = Clocks.monotonicNanoseconds
        var outcome = Outcome(
            pid: identity.pid, executable: identity.executable, result: .failure(.processEnded))
        do throws(CensusError) {
            guard snapshot.sampleBytes == 0 else { throw .sampled }
            let modules = TargetModules(
                of: identity.pid, executable: identity.executable, known: snapshot.modules.values,
                procfs: procfs, symbolizer: symbolizer)
            let census = Census(
                snapshot.liveMap, memory: ReadableProcess(pid: identity.pid, procfs: procfs),
                modules: modules.map)
            let result = try census.run(expecting: Int(clamping: snapshot.totals.liveBlocks))
            outcome.result = .success(result)
            outcome.lacksSmallObjects =
                snapshot.python == .notAsked && result.types.contains { $0.runtime == .python }
                && !usesMalloc(identity.pid)
        } catch {
            outcome.result = .failure(error)
        }
        // A program that went away meanwhile has left us words of another, zeros, or an error that says nothing of it.
        if !isRunning() {
            let isAlive = procfs.isAlive(
                pid: identity.pid, at: identity.createdBoottimeNanoseconds)
            outcome.result = .failure(isAlive ? .processReplaced : .processEnded)
        }
        outcome.seconds = Double(Clocks.monotonicNanoseconds &- start) / 1e9
        if let after = try? file.snapshot().totals {
            let before = snapshot.totals
            outcome.changedBlocks =
                (after.allocations &- before.allocations) &+ (after.frees &- before.frees)
        }
        return outcome
    }
}

extension ObjectCensus {
    /// Whether a Python program was told to take its objects from malloc, or that is not known.
    private func usesMalloc(_ pid: Int32) -> Bool {
        guard let text = procfs.environmentText(of: pid) else { return true }
        return text.split(separator: 0).contains { $0.starts(with: "PYTHONMALLOC=".utf8) }
    }
}

extension ObjectCensus.Outcome {
    private var gap: String {
        "\(Frame.baseName(executable)) (\(pid)) was started without -o: its objects of at most 512 bytes are not in the table. "
            + "Start it with memtrack-preload -o, or with MEMTRACK_OBJECTS=1 beside LD_PRELOAD."
    }

    /// - Parameter types: made with the first outcome, so that a table exists wherever a census was tried.
    func add(
        to types: inout TypeAccumulator?, _ snapshot: RegionSnapshot, stacks: NodeStacks, names: StackTable
    ) {
        var sum = types ?? TypeAccumulator()
        switch result {
        case .success(let census):
            sum.add(census, of: snapshot, stacks: stacks, names: names)
            sum.note(changedBlocks: changedBlocks, seconds: seconds)
            if lacksSmallObjects { sum.add(gap: gap) }
        case .failure(let error):
            sum.add(failure: error, executable: executable, pid: pid)
        }
        types = sum
    }
}
