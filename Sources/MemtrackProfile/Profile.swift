// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// What is known of the highest live total.
public struct Peak: Sendable, Hashable {
    /// How far the true peak may be above the recorded one, in bytes; 0 means exact, nil that nobody knows.
    public var slackBytes: UInt64?
    /// `CLOCK_MONOTONIC` of the peak; nil where none was recorded, or for more than one process.
    public var monotonicNanoseconds: UInt64?
    /// Processes whose own peaks were added up. These need not have been at the same moment, so for more
    /// than one process the sum is an upper bound.
    public var processes: Int

    public init(slackBytes: UInt64? = 0, monotonicNanoseconds: UInt64? = nil, processes: Int = 1) {
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
    /// Small blocks of Python interpreters that were up before the library: in no other figure.
    public var pythonBefore: UInt64 = 0
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
        left.pythonBefore &+= right.pythonBefore
        left.stopped &+= right.stopped
        left.damagedRecords &+= right.damagedRecords
        left.stackDepth = max(left.stackDepth, right.stackDepth)
    }
}

extension ShimFigures {
    private static let fields: [(String, any WritableKeyPath<ShimFigures, UInt64> & Sendable)] = [
        ("regionBytes", \.regionBytes), ("privateBytes", \.privateBytes), ("threadsSeen", \.threadsSeen),
        ("walks", \.walks), ("fullWalks", \.fullWalks), ("pythonBefore", \.pythonBefore),
    ]

    /// All of it but the depth limit, by the names that it has in JSON. A count that is not there is 0: newer versions
    /// add some.
    public var counts: [String: UInt64] {
        get {
            var counts: [String: UInt64] = [
                "stoppedProcesses": UInt64(clamping: stopped),
                "damagedRecords": UInt64(clamping: damagedRecords),
            ]
            for (name, path) in RegionHealth.fields { counts[name] = health[keyPath: path] }
            for (name, path) in Self.fields { counts[name] = self[keyPath: path] }
            return counts
        }
        set {
            for (name, path) in RegionHealth.fields { health[keyPath: path] = newValue[name] ?? 0 }
            for (name, path) in Self.fields { self[keyPath: path] = newValue[name] ?? 0 }
            stopped = Int(clamping: newValue["stoppedProcesses"] ?? 0)
            damagedRecords = Int(clamping: newValue["damagedRecords"] ?? 0)
        }
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
