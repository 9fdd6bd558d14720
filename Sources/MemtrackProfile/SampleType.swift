// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// The figures of a sample, under the names that pprof uses, in the order in which a file has them.
public enum SampleType: String, Sendable, Hashable, CaseIterable {
    case allocObjects = "alloc_objects"
    case allocSpace = "alloc_space"
    case inuseObjects = "inuse_objects"
    case inuseSpace = "inuse_space"
    /// Share in the highest live total.
    case peakObjects = "peak_objects"
    case peakSpace = "peak_space"
    /// Blocks freed before their thread allocated again.
    case temporaryObjects = "temporary_objects"

    /// What a viewer shows first.
    public static let preferred = SampleType.inuseSpace

    /// `count` or `bytes`.
    public var unit: String { isSpace ? "bytes" : "count" }

    public var isSpace: Bool { rawValue.utf8.last == UInt8(ascii: "e") }

    /// Live figures may be negative: a child frees what its parent allocated.
    public func value(of counters: Counters) -> Int64 {
        switch self {
        case .allocObjects: Int64(bitPattern: counters.allocations)
        case .allocSpace: Int64(bitPattern: counters.allocatedBytes)
        case .inuseObjects: counters.liveBlocks
        case .inuseSpace: counters.liveBytes
        case .peakObjects: counters.peakBlocks
        case .peakSpace: counters.peakBytes
        case .temporaryObjects: Int64(bitPattern: counters.temporary)
        }
    }
}

extension Counters {
    /// The inverse of `SampleType.value`: frees are what was allocated and is not live.
    public init(_ value: (SampleType) -> Int64) {
        self.init()
        allocations = UInt64(bitPattern: value(.allocObjects))
        allocatedBytes = UInt64(bitPattern: value(.allocSpace))
        frees = allocations &- UInt64(bitPattern: value(.inuseObjects))
        freedBytes = allocatedBytes &- UInt64(bitPattern: value(.inuseSpace))
        peakBlocks = value(.peakObjects)
        peakBytes = value(.peakSpace)
        temporary = UInt64(bitPattern: value(.temporaryObjects))
    }
}
