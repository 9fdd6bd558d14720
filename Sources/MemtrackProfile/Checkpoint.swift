// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// A row of a checkpoint's table: a site, and what happened there since the checkpoint before.
public struct SiteRow: Sendable {
    public var frame: Frame
    public var counters: Counters
    /// Change of live bytes.
    public var liveChange: Int64
    /// Allocations since the checkpoint before, or since the start.
    public var newAllocations: UInt64
    /// Of the heaviest stack, innermost first.
    public var callers: [Frame]

    public init(
        frame: Frame, counters: Counters, liveChange: Int64 = 0, newAllocations: UInt64 = 0,
        callers: [Frame] = []
    ) {
        self.frame = frame
        self.counters = counters
        self.liveChange = liveChange
        self.newAllocations = newAllocations
        self.callers = callers
    }
}

/// The sites that a table has no row for, added up.
public struct RemainingSites: Sendable, Hashable {
    public var count = 0
    public var counters = Counters()
    public var liveChange: Int64 = 0
    public var newAllocations: UInt64 = 0

    public init() {}
}

/// A moment at which the program and its sites were looked at.
public struct Checkpoint: Sendable {
    /// From 1.
    public var number: Int
    public var time: WallTime
    /// Seconds since the start.
    public var elapsed: Double
    /// Seconds since the checkpoint before, or since the start.
    public var interval: Double
    public var program: String
    public var pid: Int32
    /// nil if the process had gone.
    public var figures: ProcessFigures?
    public var previousFigures: ProcessFigures?
    /// nil where no objects are counted.
    public var objects: Objects?
    /// What the figures lack, a sentence each.
    public var problems: [String] = []
    /// nil where nobody asked for types.
    public var types: TypeTable?
    /// Set by the program since the checkpoint before; untrusted text.
    public var markers: [RegionMarker] = []
    public var gauges: [RegionGauge] = []

    /// The allocations at a checkpoint.
    public struct Objects: Sendable {
        public var totals: Counters
        public var liveChange: Int64
        public var newAllocations: UInt64
        public var order: SiteOrder
        /// Text of the filter in force.
        public var filter: String?
        public var rows: [SiteRow]
        /// Sites that the filter admits and the limit cuts.
        public var remaining: RemainingSites
        /// Sites that the filter keeps out.
        public var filtered: RemainingSites
        public var sizeClasses: [SizeClassShare]
        /// nil where the figures are no estimates.
        public var sampling: Sampling?
    }

    public init(
        number: Int, time: WallTime, elapsed: Double, interval: Double, program: String, pid: Int32,
        figures: ProcessFigures?, previousFigures: ProcessFigures? = nil, objects: Objects? = nil
    ) {
        self.number = number
        self.time = time
        self.elapsed = elapsed
        self.interval = interval
        self.program = program
        self.pid = pid
        self.figures = figures
        self.previousFigures = previousFigures
        self.objects = objects
    }
}
