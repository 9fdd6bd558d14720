// SPDX-License-Identifier: Apache-2.0
public import MemtrackObjects
public import MemtrackRegion

/// Adds up the censuses of processes, and gives cells the names of the sites that they stand for.
public struct TypeAccumulator {
    private struct Sum {
        var row: TypeRow
        var sites: [FrameID: TypeSite] = [:]
    }

    private var sums: [TypeKey: Sum] = [:]
    private var table = TypeTable()
    private var failures: [(error: CensusError, processes: [String])] = []
    /// Sites that are no frame of the stack table stand for kinds of cells.
    private static let builtInBase = FrameID.max - 8

    public init() {}

    /// - Parameters:
    ///   - snapshot: taken just before the census; its cells name the sites.
    ///   - stacks: of the same snapshot, after its profile was made.
    public mutating func add(
        _ census: CensusResult, of snapshot: RegionSnapshot, stacks: NodeStacks, names: StackTable
    ) {
        var cells: [UInt32: Int] = [:]
        cells.reserveCapacity(snapshot.cellIDs.count)
        for (place, id) in snapshot.cellIDs.enumerated() where place < snapshot.cells.count {
            cells[id] = place
        }
        func site(_ cell: UInt32) -> (FrameID, Frame) {
            guard let place = cells[cell] else {
                // Ids below the first own one are of blocks that a fork parent allocated.
                let isOwn = snapshot.identity.origin == .exec || cell >= (snapshot.cellIDs.first ?? 0)
                return isOwn
                    ? (Self.builtInBase, BuiltInFrame.allocatedMeanwhile)
                    : (Self.builtInBase + 1, BuiltInFrame.inheritedAlive)
            }
            let record = snapshot.cells[place]
            let stack = record.kind == .site ? stacks.stack(ofNode: record.stack) : 0
            if stack != 0 {
                let id = names.siteFrame(of: stack)
                return (id, names.frame(id))
            }
            switch record.kind {
            case .site: return (Self.builtInBase + 2, BuiltInFrame.runtimeCode)
            case .overflow: return (Self.builtInBase + 3, BuiltInFrame.regionFull)
            case .reentrant: return (Self.builtInBase + 4, BuiltInFrame.signalHandler)
            case .inherited: return (Self.builtInBase + 1, BuiltInFrame.inheritedAlive)
            case .noStack: return (Self.builtInBase + 5, BuiltInFrame.noStack)
            }
        }
        for type in census.types {
            let key = TypeKey(runtime: type.runtime, name: type.name)
            var sum = sums[key] ?? Sum(row: TypeRow(runtime: type.runtime, name: type.name))
            sum.row.count += type.count
            sum.row.bytes &+= type.bytes
            sum.row.ownedBlocks += type.ownedBlocks
            sum.row.ownedBytes &+= type.ownedBytes
            sum.row.trackedCount += type.trackedCount
            for share in type.cells {
                let (id, frame) = site(share.cell)
                sum.sites[id, default: TypeSite(frame: frame, count: 0, bytes: 0)].count += share.count
                sum.sites[id, default: TypeSite(frame: frame, count: 0, bytes: 0)].bytes &+= share.bytes
            }
            sums[key] = sum
        }
        for share in census.untyped {
            let (_, frame) = site(share.cell)
            let name = Self.name(ofBlocksFrom: frame)
            let key = TypeKey(runtime: nil, name: name)
            var sum = sums[key] ?? Sum(row: TypeRow(runtime: nil, name: name))
            sum.row.count += share.count
            sum.row.bytes &+= share.bytes
            sums[key] = sum
        }
        table.processes += 1
        table.blocks += census.blocks
        table.bytes &+= census.bytes
        table.tornEntries += census.torn
        table.unreadableBytes &+= census.unreadableBytes
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

    private static let processesNamed = 3

    /// The sum of everything added so far.
    public var types: TypeTable {
        var result = table
        result.rows = sums.values.map { sum in
            var row = sum.row
            row.sites = TypeSite.ranked(Array(sum.sites.values))
            return row
        }
        result.rows = result.sorted(by: .live)
        result.problems = failures.map { error, processes in
            let more = processes.count - Self.processesNamed
            let names = processes.prefix(Self.processesNamed).joined(separator: ", ")
            return "No types for " + names + (more > 0 ? " and \(more) more" : "") + ": \(error)."
        }
        return result
    }
}
