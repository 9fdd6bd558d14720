// SPDX-License-Identifier: Apache-2.0

/// Why a change says nothing about the builds.
public enum DiffNoise: String, Sendable, Hashable {
    /// No larger than what runs of one build differ by.
    case runs
    /// The peak of a program with several threads is not known more closely.
    case peak
}

/// How far beyond the recorded figures the true ones may be: that of a run is in [recorded, recorded + doubt].
public struct DiffDoubt: Sendable, Hashable {
    public var old: UInt64
    public var new: UInt64

    public init(old: UInt64 = 0, new: UInt64 = 0) {
        self.old = old
        self.new = new
    }
}

/// How a figure changed from the runs of one build to those of another.
public struct DiffChange: Sendable, Hashable {
    /// Medians.
    public var old: Int64
    public var new: Int64
    /// Largest difference between two runs of one side; 0 for one run a side.
    public var spread: Int64
    /// nil where the change is one of the builds.
    public var noise: DiffNoise?

    public var isNoise: Bool { noise != nil }
    public var change: Int64 { new &- old }

    public init(_ old: [Int64], _ new: [Int64], doubt: DiffDoubt = DiffDoubt()) {
        self.old = Self.median(old)
        self.new = Self.median(new)
        func width(_ values: [Int64]) -> Int64 { (values.max() ?? 0) &- (values.min() ?? 0) }
        spread = max(width(old), width(new))
        if change == 0 { return }
        // What was recorded has been reached, so only what the smaller side may have missed can make up for a change.
        if change.magnitude <= spread.magnitude {
            noise = .runs
        } else if change.magnitude <= (change > 0 ? doubt.old : doubt.new) {
            noise = .peak
        }
    }

    private static func median(_ values: [Int64]) -> Int64 {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        if sorted.isEmpty { return 0 }
        if sorted.count % 2 == 1 { return sorted[middle] }
        return sorted[middle - 1] &+ (sorted[middle] &- sorted[middle - 1]) / 2
    }
}
