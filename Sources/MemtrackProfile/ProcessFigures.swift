// SPDX-License-Identifier: Apache-2.0

/// What procfs says of a process at one moment. All sizes in bytes.
///
/// The target's own figures exclude what the profiler's shim uses; the caller has measured that and taken
/// it off, and gives it in `shimBytes`.
public struct ProcessFigures: Sendable, Hashable {
    public var rss: UInt64
    public var vms: UInt64
    /// nil where not readable, as are `swap` and `pss`.
    public var peakRSS: UInt64?
    public var swap: UInt64?
    public var pss: UInt64?
    /// Memory of the machine; 0 if unknown.
    public var totalRAM: UInt64
    public var threads: Int
    public var childCount: Int
    /// Sum over all living descendants.
    public var childrenRSS: UInt64
    /// The process and its descendants.
    public var totalRSS: UInt64
    /// Resident memory of the shim in the process and its descendants.
    public var shimBytes: UInt64

    public init(
        rss: UInt64, vms: UInt64, peakRSS: UInt64? = nil, swap: UInt64? = nil, pss: UInt64? = nil,
        totalRAM: UInt64 = 0, threads: Int = 1, childCount: Int = 0, childrenRSS: UInt64 = 0,
        totalRSS: UInt64? = nil, shimBytes: UInt64 = 0
    ) {
        self.rss = rss
        self.vms = vms
        self.peakRSS = peakRSS
        self.swap = swap
        self.pss = pss
        self.totalRAM = totalRAM
        self.threads = threads
        self.childCount = childCount
        self.childrenRSS = childrenRSS
        self.totalRSS = totalRSS ?? (rss &+ childrenRSS)
        self.shimBytes = shimBytes
    }

    /// RSS as a part of the machine's memory, 0 to 1; nil if that is unknown.
    public var ramShare: Double? { totalRAM == 0 ? nil : Double(rss) / Double(totalRAM) }
}
