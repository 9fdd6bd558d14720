// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// One process image of a session. Text comes from the target and is untrusted.
public struct ProcessRecord: Sendable {
    public var pid: Int32
    public var parentPID: Int32
    public var executable: String
    public var arguments: [String]
    public var origin: RegionIdentity.Origin
    /// `CLOCK_MONOTONIC` of the image's start; puts images in order.
    public var createdMonotonicNanoseconds: UInt64
    public var isAlive: Bool
    /// Its process has become another program by `exec`; what `totals` has as live went with it.
    public var wasReplaced: Bool
    /// Allocations; nil where the image was not counted.
    public var totals: Counters?
    /// Last figures that could be read; nil if none.
    public var figures: ProcessFigures?

    public init(
        pid: Int32, parentPID: Int32, executable: String, arguments: [String] = [],
        origin: RegionIdentity.Origin = .exec, createdMonotonicNanoseconds: UInt64 = 0, isAlive: Bool = false,
        wasReplaced: Bool = false, totals: Counters? = nil, figures: ProcessFigures? = nil
    ) {
        self.pid = pid
        self.parentPID = parentPID
        self.executable = executable
        self.arguments = arguments
        self.origin = origin
        self.createdMonotonicNanoseconds = createdMonotonicNanoseconds
        self.isAlive = isAlive
        self.wasReplaced = wasReplaced
        self.totals = totals
        self.figures = figures
    }

    /// From what the region says of itself.
    public init(
        identity: RegionIdentity, totals: Counters?, isAlive: Bool, wasReplaced: Bool = false,
        figures: ProcessFigures?
    ) {
        self.init(
            pid: identity.pid, parentPID: identity.parentPID, executable: identity.executable,
            arguments: identity.arguments, origin: identity.origin,
            createdMonotonicNanoseconds: identity.createdMonotonicNanoseconds, isAlive: isAlive,
            wasReplaced: wasReplaced, totals: totals, figures: figures)
    }
}

/// How the program ended.
public enum Ending: Sendable, Hashable {
    case exited(status: Int32)
    /// `name` as in `SIGKILL`.
    case signalled(number: Int32, name: String)
    case running
    /// The process has gone, nobody saw how.
    case unknown

    /// By Ctrl+C or Ctrl+\, as far as the signal tells.
    public var isFromKeyboard: Bool {
        if case .signalled(_, let name) = self { return name == "SIGINT" || name == "SIGQUIT" }
        return false
    }
}

/// Everything a final report says.
public struct SessionSummary: Sendable {
    /// Base name of the program.
    public var program: String
    public var pid: Int32
    public var commandLine: [String]
    public var host: String
    public var start: WallTime
    /// `CLOCK_MONOTONIC` at the start; with a peak's, tells when that was.
    public var startMonotonicNanoseconds: UInt64
    /// Seconds from start to end, or to now.
    public var duration: Double
    public var ending: Ending
    /// Sum over all processes; nil where no objects were counted.
    public var profile: Profile?
    /// In order of their start.
    public var processes: [ProcessRecord] = []
    /// What live memory was at the last look, by type; nil where nobody asked.
    public var types: TypeTable?
    public var series = Series()
    /// The last markers that the program set, in order of time; at most `markersKept`.
    public private(set) var markers: [RegionMarker] = []
    /// All that it set.
    public private(set) var markerCount = 0
    /// As they were last.
    public var gauges: [RegionGauge] = []
    /// Seconds between checkpoints; 0 for none.
    public var interval: Double = 0
    /// Resident bytes of the shim as last measured; nil if never.
    public var shimBytes: UInt64?
    /// Largest resident set that any one process of the session had, memtrack's own share included, as
    /// getrusage(2) tells after the end; nil if not known.
    public var largestRSS: UInt64?
    public var historyPath: String?
    public var jsonPath: String?
    /// Of the saved profile.
    public var profilePath: String?
    /// What else a reader must know: a daemon left behind, objects not counted and why. Plain sentences.
    public var notes: [String] = []
    /// What would make the next report better: symbols to install, say. Plain sentences.
    public var hints: [String] = []

    public init(
        program: String, pid: Int32, commandLine: [String], host: String, start: WallTime,
        startMonotonicNanoseconds: UInt64 = 0, duration: Double, ending: Ending, profile: Profile?
    ) {
        self.program = program
        self.pid = pid
        self.commandLine = commandLine
        self.host = host
        self.start = start
        self.startMonotonicNanoseconds = startMonotonicNanoseconds
        self.duration = duration
        self.ending = ending
        self.profile = profile
    }

    /// A program may set markers for weeks.
    public static let markersKept = 1_000

    /// - Parameter earlier: how many more were set and are not kept.
    public mutating func add(markers new: [RegionMarker], earlier: Int = 0) {
        markerCount += new.count + earlier
        markers = (markers + new).suffix(Self.markersKept)
    }
}
