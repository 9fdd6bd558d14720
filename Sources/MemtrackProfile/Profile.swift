// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// What is known of the highest live total.
public struct Peak: Sendable, Hashable {
    /// How far the composition may be from the true peak, in bytes; 0 means exact.
    public var slackBytes: UInt64
    /// `CLOCK_MONOTONIC` of the peak; nil where none was recorded, or for more than one process.
    public var monotonicNanoseconds: UInt64?
    /// Processes whose own peaks were added up. These need not have been at the same moment, so for more
    /// than one process the sum is an upper bound.
    public var processes: Int

    public init(slackBytes: UInt64 = 0, monotonicNanoseconds: UInt64? = nil, processes: Int = 1) {
        self.slackBytes = slackBytes
        self.monotonicNanoseconds = monotonicNanoseconds
        self.processes = processes
    }
}

/// How the shim worked and what it cost.
public struct ShimFigures: Sendable, Hashable {
    public var health = RegionHealth()
    /// Pages of region files in use, in bytes.
    public var regionBytes: UInt64 = 0
    /// Private memory mapped in the target, in bytes of address space.
    public var privateBytes: UInt64 = 0
    public var threadsSeen: UInt64 = 0
    /// Stacks that had to be unwound, and how many of these needed the full unwinder.
    public var walks: UInt64 = 0
    public var fullWalks: UInt64 = 0
    /// Processes in which the shim stopped counting before their end.
    public var stopped = 0
    /// Records of regions that broke a rule of the format and were repaired or left out.
    public var damagedRecords = 0
    /// Largest depth limit in force.
    public var stackDepth: UInt32 = 0

    public init() {}

    public static func += (left: inout ShimFigures, right: ShimFigures) {
        left.health += right.health
        left.regionBytes &+= right.regionBytes
        left.privateBytes &+= right.privateBytes
        left.threadsSeen &+= right.threadsSeen
        left.walks &+= right.walks
        left.fullWalks &+= right.fullWalks
        left.stopped &+= right.stopped
        left.damagedRecords &+= right.damagedRecords
        left.stackDepth = max(left.stackDepth, right.stackDepth)
    }
}

/// The allocations of a process, or of several, by site.
public struct Profile: Sendable {
    public var table = StackTable()
    /// Sorted by live bytes.
    public var sites: [Site] = []
    /// Sum over `sites`.
    public var totals = Counters()
    /// In order of size.
    public var sizeClasses: [SizeClassShare] = []
    /// The finest figures: each stack's by size class, in order of stack and size. Sum over `sites`, too.
    public var samples: [StackSample] = []
    /// Objects that frames come from; that of the program first, where it is known.
    public var modules: [ProfileModule] = []
    public var peak = Peak(processes: 0)
    public var shim = ShimFigures()
    /// nil where every allocation was counted.
    public var sampling: Sampling?

    public init() {}
}

extension RegionHealth {
    /// Every count is added up.
    public static func += (left: inout RegionHealth, right: RegionHealth) {
        left.overflowNodes &+= right.overflowNodes
        left.overflowCells &+= right.overflowCells
        left.reentrant &+= right.reentrant
        left.truncatedStacks &+= right.truncatedStacks
        left.incompleteStacks &+= right.incompleteStacks
        left.foreignStacks &+= right.foreignStacks
        left.untrackedBlocks &+= right.untrackedBlocks
        left.untrackedBytes &+= right.untrackedBytes
        left.unknownFrees &+= right.unknownFrees
        left.earlyBlocks &+= right.earlyBlocks
        left.regionRefusals &+= right.regionRefusals
        left.sharedBankCalls &+= right.sharedBankCalls
        left.lostMarkers &+= right.lostMarkers
        left.lostGauges &+= right.lostGauges
        left.childrenLost &+= right.childrenLost
        left.verifiedStacks &+= right.verifiedStacks
        left.verifyMismatches &+= right.verifyMismatches
        left.verifySkipped &+= right.verifySkipped
        left.uncountedAllocations &+= right.uncountedAllocations
        left.uncountedBytes &+= right.uncountedBytes
        left.confined &+= right.confined
    }
}
