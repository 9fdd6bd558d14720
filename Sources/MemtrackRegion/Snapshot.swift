// SPDX-License-Identifier: Apache-2.0

/// The figures of one cell: what one call stack allocated in one size class.
///
/// Sizes are the sizes requested by the program, in bytes. `live` figures are signed, because a forked
/// child may free blocks that its parent allocated, and because a racing read is never hidden.
public struct Counters: Sendable, Hashable {
    public var allocations: UInt64 = 0
    public var allocatedBytes: UInt64 = 0
    public var frees: UInt64 = 0
    public var freedBytes: UInt64 = 0
    /// Blocks freed with no other allocation by the same thread in between.
    public var temporary: UInt64 = 0
    /// Share of this cell in the process-wide peak.
    public var peakBlocks: Int64 = 0
    public var peakBytes: Int64 = 0

    public init() {}

    public var liveBlocks: Int64 { Int64(bitPattern: allocations &- frees) }
    public var liveBytes: Int64 { Int64(bitPattern: allocatedBytes &- freedBytes) }

    @inlinable
    public static func += (left: inout Counters, right: Counters) {
        left.allocations &+= right.allocations
        left.allocatedBytes &+= right.allocatedBytes
        left.frees &+= right.frees
        left.freedBytes &+= right.freedBytes
        left.temporary &+= right.temporary
        left.peakBlocks &+= right.peakBlocks
        left.peakBytes &+= right.peakBytes
    }

    /// Of a part that was added before.
    public static func -= (left: inout Counters, right: Counters) {
        left.allocations &-= right.allocations
        left.allocatedBytes &-= right.allocatedBytes
        left.frees &-= right.frees
        left.freedBytes &-= right.freedBytes
        left.temporary &-= right.temporary
        left.peakBlocks &-= right.peakBlocks
        left.peakBytes &-= right.peakBytes
    }

    public static func + (left: Counters, right: Counters) -> Counters {
        var sum = left
        sum += right
        return sum
    }
}

/// Which process image a region belongs to. Text comes from the target and is untrusted.
public struct RegionIdentity: Sendable, Hashable {
    public enum Origin: Sendable, Hashable { case exec, fork }

    public var pid: Int32
    public var parentPID: Int32
    /// `CLOCK_BOOTTIME` when the region was made: a process of this number that started later is another one.
    public var createdBoottimeNanoseconds: UInt64
    public var pidNamespace: UInt64
    public var bootID: String
    public var createdRealtimeNanoseconds: UInt64
    public var createdMonotonicNanoseconds: UInt64
    /// `createdMonotonicNanoseconds` of the region of the process that forked this one; 0 after exec.
    public var parentCreatedMonotonicNanoseconds: UInt64
    public var uid: UInt32
    public var origin: Origin
    public var executable: String
    public var arguments: [String]

    public init(
        pid: Int32, parentPID: Int32, createdBoottimeNanoseconds: UInt64, pidNamespace: UInt64,
        bootID: String,
        createdRealtimeNanoseconds: UInt64, createdMonotonicNanoseconds: UInt64,
        parentCreatedMonotonicNanoseconds: UInt64, uid: UInt32, origin: Origin, executable: String,
        arguments: [String]
    ) {
        self.pid = pid
        self.parentPID = parentPID
        self.createdBoottimeNanoseconds = createdBoottimeNanoseconds
        self.pidNamespace = pidNamespace
        self.bootID = bootID
        self.createdRealtimeNanoseconds = createdRealtimeNanoseconds
        self.createdMonotonicNanoseconds = createdMonotonicNanoseconds
        self.parentCreatedMonotonicNanoseconds = parentCreatedMonotonicNanoseconds
        self.uid = uid
        self.origin = origin
        self.executable = executable
        self.arguments = arguments
    }
}

/// One loaded object of the target.
public struct RegionModule: Sendable, Hashable {
    /// First address of the mapping and the first one after it, in the target.
    public var start: UInt64
    public var end: UInt64
    /// Address in the target minus address in the file.
    public var bias: UInt64
    public var buildID: [UInt8]
    public var path: String
    /// The path did not fit into its record: `path` is the beginning of it.
    public var pathIsCut: Bool
    /// No loaded object but code of CPython: `path` is its function, a newline and its file, and the address of a node of
    /// it the line, 0 if unknown.
    public var isPython = false

    public init(
        start: UInt64, end: UInt64, bias: UInt64, buildID: [UInt8], path: String, pathIsCut: Bool = false
    ) {
        self.start = start
        self.end = end
        self.bias = bias
        self.buildID = buildID
        self.path = path
        self.pathIsCut = pathIsCut
    }
}

/// One frame of the stack trie. Node 0 is the root.
public struct RegionNode: Sendable, Hashable {
    /// Return address; the exact program counter where `isSignalFrame`.
    public var address: UInt64
    /// Always smaller than the node's own id; 0 for an outermost frame.
    public var parent: UInt32
    /// Key into `RegionSnapshot.modules`; nil for code made at run time.
    public var module: UInt16?
    /// One byte, so that a node and the optional around it take 16: there may be two million of them.
    private var flags: UInt8

    public var isSignalFrame: Bool {
        get { flags & 1 != 0 }
        set { flags = newValue ? flags | 1 : flags & ~1 }
    }
    /// The depth limit cut the callers of this frame off.
    public var isTruncated: Bool {
        get { flags & 2 != 0 }
        set { flags = newValue ? flags | 2 : flags & ~2 }
    }
    /// The unwinder could not go on from this frame.
    public var isIncomplete: Bool {
        get { flags & 4 != 0 }
        set { flags = newValue ? flags | 4 : flags & ~4 }
    }

    public init(
        address: UInt64, parent: UInt32, module: UInt16?, isSignalFrame: Bool = false,
        isTruncated: Bool = false, isIncomplete: Bool = false
    ) {
        self.address = address
        self.parent = parent
        self.module = module
        flags = (isSignalFrame ? 1 : 0) | (isTruncated ? 2 : 0) | (isIncomplete ? 4 : 0)
    }
}

/// What a cell stands for.
public enum RegionCellKind: Sendable, Hashable, CaseIterable {
    /// A call stack: `RegionCell.stack` names its innermost node.
    case site
    /// A table of the region was full: the class is exact, the site unknown.
    case overflow
    /// A signal handler allocated while the thread was inside a hook.
    case reentrant
    /// Frees of blocks that a fork parent had allocated.
    case inherited
    /// The stack could not be taken.
    case noStack
}

public struct RegionCell: Sendable, Hashable {
    public var kind: RegionCellKind
    /// Innermost node id; 0 unless `kind` is `.site`.
    public var stack: UInt32
    public var sizeClass: UInt32
    public var counters: Counters

    public init(kind: RegionCellKind, stack: UInt32, sizeClass: UInt32, counters: Counters) {
        self.kind = kind
        self.stack = stack
        self.sizeClass = sizeClass
        self.counters = counters
    }
}

/// All allocations in one size class; no frees are counted in that way.
public struct RegionClassCount: Sendable, Hashable {
    public var sizeClass: UInt32
    public var counters: Counters
}

public struct RegionMarker: Sendable, Hashable {
    public var monotonicNanoseconds: UInt64
    public var label: String

    public init(monotonicNanoseconds: UInt64, label: String) {
        self.monotonicNanoseconds = monotonicNanoseconds
        self.label = label
    }
}

public struct RegionGauge: Sendable, Hashable {
    public var name: String
    public var value: Double

    public init(name: String, value: Double) {
        self.name = name
        self.value = value
    }
}

/// One private mapping of the shim in the target: where `/proc/PID/pagemap` shows what the profiler costs.
public struct RegionMapping: Sendable, Hashable {
    /// Address in the target, and length in bytes.
    public var start: UInt64
    public var bytes: UInt64

    public init(start: UInt64, bytes: UInt64) {
        self.start = start
        self.bytes = bytes
    }
}

/// What counting the objects of a Python interpreter came to.
public enum RegionPython: UInt32, Sendable {
    /// Not asked for, or no CPython.
    case notAsked = 0
    /// Its allocator is wrapped; where it stays so, the interpreter was told to use another one.
    case wrapped = 1
    /// Each of its objects is counted.
    case ready = 2
    /// Without the GIL, too old, or up before the library was and not to be wrapped: only what malloc sees is counted.
    case unknown = 3
    /// A version that is not known, told to take all its blocks from malloc.
    case malloc = 4
}

/// Where the live map is: the shim's list of all live blocks, in the target's private memory.
public struct RegionLiveMap: Sendable, Hashable {
    /// Address of the root table in the target; 0 where there is none.
    public var root: UInt64
    /// Bytes of address space for each slot: 32 or 16.
    public var unit: UInt32
    /// Each root entry covers two to this power bytes.
    public var chunkShift: UInt32
    /// Address of the table of blocks that stand in no slot, for want of room there; 0 where there are none.
    public var side: UInt64

    public init(root: UInt64, unit: UInt32, chunkShift: UInt32, side: UInt64 = 0) {
        self.root = root
        self.unit = unit
        self.chunkShift = chunkShift
        self.side = side
    }
}

/// What the shim lost or could not do, each a count since the start of the image.
public struct RegionHealth: Sendable, Hashable {
    public var overflowNodes: UInt64 = 0
    public var overflowCells: UInt64 = 0
    public var reentrant: UInt64 = 0
    public var truncatedStacks: UInt64 = 0
    public var incompleteStacks: UInt64 = 0
    public var foreignStacks: UInt64 = 0
    public var untrackedBlocks: UInt64 = 0
    public var untrackedBytes: UInt64 = 0
    public var unknownFrees: UInt64 = 0
    public var earlyBlocks: UInt64 = 0
    public var regionRefusals: UInt64 = 0
    public var sharedBankCalls: UInt64 = 0
    public var lostMarkers: UInt64 = 0
    public var lostGauges: UInt64 = 0
    public var childrenLost: UInt64 = 0
    public var verifiedStacks: UInt64 = 0
    public var verifyMismatches: UInt64 = 0
    public var verifySkipped: UInt64 = 0
    /// Allocations that no counter could be had for: they are in no other figure.
    public var uncountedAllocations: UInt64 = 0
    public var uncountedBytes: UInt64 = 0
    /// Seccomp filters of the program that forbid system calls of the shim.
    public var confined: UInt64 = 0
    /// Places in code whose module found no room in the table: they have no names.
    public var lostModules: UInt64 = 0
    /// Allocations by Python functions that found no room there: C frames stand for these.
    public var lostPythonStacks: UInt64 = 0
    /// Processes whose own malloc, or that of a library in front, comes before the shim's.
    public var foreignMalloc: UInt64 = 0
    /// What forked children freed of the blocks that they had from their parents, whose own these are.
    public var inheritedFrees: UInt64 = 0
    public var inheritedFreedBytes: UInt64 = 0

    public init() {}

    /// Every count, by the name that it has in JSON.
    public static let fields: [(name: String, path: any WritableKeyPath<RegionHealth, UInt64> & Sendable)] = [
        ("overflowNodes", \.overflowNodes),
        ("overflowCells", \.overflowCells),
        ("reentrant", \.reentrant),
        ("truncatedStacks", \.truncatedStacks),
        ("incompleteStacks", \.incompleteStacks),
        ("foreignStacks", \.foreignStacks),
        ("untrackedBlocks", \.untrackedBlocks),
        ("untrackedBytes", \.untrackedBytes),
        ("unknownFrees", \.unknownFrees),
        ("earlyBlocks", \.earlyBlocks),
        ("regionRefusals", \.regionRefusals),
        ("sharedBankCalls", \.sharedBankCalls),
        ("lostMarkers", \.lostMarkers),
        ("lostGauges", \.lostGauges),
        ("childrenLost", \.childrenLost),
        ("verifiedStacks", \.verifiedStacks),
        ("verifyMismatches", \.verifyMismatches),
        ("verifySkipped", \.verifySkipped),
        ("uncountedAllocations", \.uncountedAllocations),
        ("uncountedBytes", \.uncountedBytes),
        ("confined", \.confined),
        ("lostModules", \.lostModules),
        ("lostPythonStacks", \.lostPythonStacks),
        ("foreignMalloc", \.foreignMalloc),
        ("inheritedFrees", \.inheritedFrees),
        ("inheritedFreedBytes", \.inheritedFreedBytes),
    ]

    /// Every count is added up.
    public static func += (left: inout RegionHealth, right: RegionHealth) {
        for (_, path) in fields { left[keyPath: path] &+= right[keyPath: path] }
    }
}

public enum RegionState: Sendable, Hashable {
    case starting
    case counting
    case stopped(reason: UInt32)
}

public enum RegionUnwinder: Sendable, Hashable { case rules, libunwind, callSite }

/// Everything a region says, copied at one moment. Plain values: nothing here points into shared memory.
public struct RegionSnapshot: Sendable {
    public var identity: RegionIdentity
    public var state: RegionState
    public var unwinder: RegionUnwinder
    public var stackDepth: UInt32
    public var capabilities: UInt32
    /// Mean distance of two samples in bytes allocated; 0 where every allocation is counted.
    public var sampleBytes: UInt64
    /// With sampling: every allocation by size class, exact; the cells are then estimates. In order of size.
    public var exactClasses: [RegionClassCount]
    public var modules: [UInt16: RegionModule]
    /// Indexed by node id; entry 0 is the root. An unpublished record is nil.
    public var nodes: [RegionNode?]
    /// Cells that have been used, sites first in order of their ids.
    public var cells: [RegionCell]
    /// The id of each of `cells`, as the live map names it.
    public var cellIDs: [UInt32]
    public var liveMap: RegionLiveMap
    /// Sum over `cells`; `peakBytes` and `peakBlocks` are those of the recorded peak.
    public var totals: Counters
    /// The peak as the target's threads noted it, in bytes: within `peakSlackBytes` of `totals.peakBytes`.
    public var recordedPeakBytes: Int64
    /// How far the peak may be from the truth, in bytes; 0 for a process with one thread.
    public var peakSlackBytes: UInt64
    /// `CLOCK_MONOTONIC` of the peak; 0 if the peak is the present: none was recorded, or more is live now
    /// than at the recorded one.
    public var peakMonotonicNanoseconds: UInt64
    /// Banks of counters that threads have used; a bank serves one thread at a time.
    public var banks: Int
    /// Threads that have allocated so far.
    public var threadsSeen: UInt64
    /// Stacks that had to be unwound, and how many of these needed the full unwinder.
    public var walks: UInt64
    public var fullWalks: UInt64
    public var markers: [RegionMarker]
    /// Markers that were ever set; those before the last 64 have been overwritten.
    public var markersSet: Int = 0
    public var gauges: [RegionGauge]
    public var health: RegionHealth
    public var python: RegionPython = .notAsked
    /// Of CPython 3; 0 where that is not known.
    public var pythonMinor: UInt32 = 0
    /// Small blocks of a Python interpreter that were made before tracking: in no other figure.
    public var pythonBefore: UInt64 = 0
    /// Records that broke a rule of the format and were repaired or left out; 0 in a sound region.
    public var damagedRecords: Int
    /// Pages of the region file in use and private memory mapped by the shim, in bytes.
    public var regionBytes: UInt64
    public var privateBytes: UInt64
    /// Address space that the shim reserved in the target, the region included, in bytes.
    public var reservedBytes: UInt64
    /// The shim's private mappings in the target; at most 127 are listed.
    public var mappings: [RegionMapping]

    public init(identity: RegionIdentity) {
        self.identity = identity
        state = .starting
        unwinder = .rules
        stackDepth = 0
        capabilities = 0
        sampleBytes = 0
        exactClasses = []
        modules = [:]
        nodes = [nil]
        cells = []
        cellIDs = []
        liveMap = RegionLiveMap(root: 0, unit: 0, chunkShift: 0)
        totals = Counters()
        recordedPeakBytes = 0
        peakSlackBytes = 0
        peakMonotonicNanoseconds = 0
        banks = 0
        threadsSeen = 0
        walks = 0
        fullWalks = 0
        markers = []
        gauges = []
        health = RegionHealth()
        damagedRecords = 0
        regionBytes = 0
        privateBytes = 0
        reservedBytes = 0
        mappings = []
    }
}
