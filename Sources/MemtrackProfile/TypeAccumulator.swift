// SPDX-License-Identifier: Apache-2.0
public import MemtrackObjects
public import MemtrackRegion

/// Adds up the censuses of processes, and gives cells the names of the sites that they stand for.
public struct TypeAccumulator {
    /// Objects of one site; the same site may come again.
    private struct Share {
        var site: FrameID
        var count: Int
        var bytes: UInt64
    }

    private struct Sum {
        var row: TypeRow
        var shares: [Share] = []
    }

    private var sums: [TypeKey: Sum] = [:]
    private var table = TypeTable()
    /// Of the newest profile: has the frames of all sites.
    private var names = StackTable()
    private var failures: [(error: CensusError, processes: [String])] = []

    /// Sites that are no frame of the stack table stand for kinds of cells.
    private enum BuiltInSite {
        static let base = FrameID.max - 8
        static let frames = [
            BuiltInFrame.allocatedMeanwhile, BuiltInFrame.inheritedAlive, BuiltInFrame.runtimeCode,
            BuiltInFrame.regionFull, BuiltInFrame.signalHandler, BuiltInFrame.noStack,
        ]

        static func id(_ frame: Frame) -> FrameID {
            base + FrameID(frames.firstIndex(of: frame) ?? 0)
        }
        static let allocatedMeanwhile = id(BuiltInFrame.allocatedMeanwhile)
        static let inheritedAlive = id(BuiltInFrame.inheritedAlive)
        static let runtimeCode = id(BuiltInFrame.runtimeCode)
        static let regionFull = id(BuiltInFrame.regionFull)
        static let signalHandler = id(BuiltInFrame.signalHandler)
        static let noStack = id(BuiltInFrame.noStack)
    }

    private var gaps: [String] = []

    public init() {}

    /// - Parameters:
    ///   - snapshot: taken just before the census; its cells name the sites.
    ///   - stacks: of the same snapshot, after its profile was made.
    public mutating func add(
        _ census: CensusResult, of snapshot: RegionSnapshot, stacks: NodeStacks, names: StackTable
    ) {
        if names.frames.count >= self.names.frames.count { self.names = names }
        let sites = CellSites(snapshot, stacks, names)
        for type in census.types {
            let key = TypeKey(runtime: type.runtime, name: type.name)
            var row = sums[key]?.row ?? TypeRow(runtime: type.runtime, name: type.name)
            row.sum += type.sum
            let shares = type.cells.map { Share(site: sites.site($0.cell), count: $0.count, bytes: $0.bytes) }
            sums[key, default: Sum(row: row)].row = row
            sums[key]?.shares += shares
        }
        let others = Self.merged(
            census.untyped.map { Share(site: sites.site($0.cell), count: $0.count, bytes: $0.bytes) })
        for share in others {
            let name = Self.name(ofBlocksFrom: frame(share.site))
            let key = TypeKey(runtime: nil, name: name)
            var row = sums[key]?.row ?? TypeRow(runtime: nil, name: name)
            row.count += share.count
            row.bytes &+= share.bytes
            sums[key] = Sum(row: row)
        }
        table.reading += census.reading
    }

    /// The site of each cell.
    private struct CellSites {
        private let snapshot: RegionSnapshot
        private let stacks: NodeStacks
        private let names: StackTable
        /// Places of cells, by rising id.
        private let places: [Int]

        init(_ snapshot: RegionSnapshot, _ stacks: NodeStacks, _ names: StackTable) {
            self.snapshot = snapshot
            self.stacks = stacks
            self.names = names
            let ids = snapshot.cellIDs
            // They are all but sorted, which takes one pass.
            places = (0..<min(ids.count, snapshot.cells.count)).sorted { ids[$0] < ids[$1] }
        }

        func site(_ cell: UInt32) -> FrameID {
            guard let place = place(of: cell) else {
                // Ids below the first own one are of blocks that a fork parent allocated.
                let isOwn = snapshot.identity.origin == .exec || cell >= (snapshot.cellIDs.first ?? 0)
                return isOwn ? BuiltInSite.allocatedMeanwhile : BuiltInSite.inheritedAlive
            }
            let kind = snapshot.cells[place].kind
            let stack = kind == .site ? stacks.stack(ofNode: snapshot.cells[place].stack) : 0
            if stack != 0 { return names.siteFrame(of: stack) }
            return switch kind {
            case .site: BuiltInSite.runtimeCode
            case .overflow: BuiltInSite.regionFull
            case .reentrant: BuiltInSite.signalHandler
            case .inherited: BuiltInSite.inheritedAlive
            case .noStack: BuiltInSite.noStack
            }
        }

        private func place(of cell: UInt32) -> Int? {
            var (low, high) = (0, places.count)
            while low < high {
                let middle = (low + high) / 2
                if snapshot.cellIDs[places[middle]] < cell { low = middle + 1 } else { high = middle }
            }
            return low < places.count && snapshot.cellIDs[places[low]] == cell ? places[low] : nil
        }
    }

    private func frame(_ site: FrameID) -> Frame {
        site >= BuiltInSite.base ? BuiltInSite.frames[Int(site - BuiltInSite.base)] : names.frame(site)
    }

    /// One share a site.
    private static func merged(_ shares: [Share]) -> [Share] {
        var result: [Share] = []
        for share in shares.sorted(by: { $0.site < $1.site }) {
            if let last = result.indices.last, result[last].site == share.site {
                result[last].count += share.count
                result[last].bytes &+= share.bytes
            } else {
                result.append(share)
            }
        }
        return result
    }

    /// Most bytes first.
    private func ranked(_ shares: [Share]) -> [TypeSite] {
        func precedes(_ left: FrameID, _ right: FrameID) -> Bool {
            max(left, right) >= BuiltInSite.base ? left < right : names.precedes(left, right)
        }
        return Self.merged(shares).sorted {
            $0.bytes != $1.bytes ? $0.bytes > $1.bytes : precedes($0.site, $1.site)
        }.map { TypeSite(frame: frame($0.site), count: $0.count, bytes: $0.bytes) }
    }

    private static func name(ofBlocksFrom frame: Frame) -> String {
        if frame.kind == .builtIn { return frame.function }
        let short = FunctionName.qualified(frame.function)
        // Swift's names of contexts in parentheses are not cut well.
        return "malloc in " + (short.isEmpty || short.hasSuffix(".") ? frame.function : short)
    }

    /// How the reading of one process went.
    public mutating func note(changedBlocks: UInt64, seconds: Double) {
        table.changedBlocks &+= changedBlocks
        table.readingSeconds += seconds
    }

    /// A process without types. A build has thousands that end while they are looked at: each reason is said once.
    public mutating func add(failure: CensusError, executable: String, pid: Int32) {
        let process = "\(Frame.baseName(executable)) (\(pid))"
        if let place = failures.firstIndex(where: { $0.error == failure }) {
            failures[place].processes.append(process)
        } else {
            failures.append((failure, [process]))
        }
    }

    /// A sentence on what the table lacks.
    public mutating func add(gap: String) {
        if !gaps.contains(gap) { gaps.append(gap) }
    }

    private static let processesNamed = 3

    /// The sum of everything added so far.
    public var types: TypeTable {
        var result = table
        result.rows = sums.values.map { sum in
            var row = sum.row
            row.sites = ranked(sum.shares)
            return row
        }
        result.rows = result.sorted(by: .live)
        result.problems = failures.map { error, processes in
            let more = processes.count - Self.processesNamed
            let names = processes.prefix(Self.processesNamed).joined(separator: ", ")
            return "No types for " + names + (more > 0 ? " and \(more) more" : "") + ": \(error)."
        }
        result.problems += gaps
        return result
    }
}
