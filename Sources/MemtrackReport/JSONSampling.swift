// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What a profile says of its sampling: all other counters are estimates where this is there.
struct JSONSampling: Encodable {
    /// Mean distance of two samples in bytes allocated.
    var periodBytes: UInt64
    /// All allocations of the program, counted one by one; null where the profile does not keep them.
    @OrNull var exactAllocations: UInt64?
    @OrNull var exactAllocatedBytes: UInt64?

    init(_ sampling: Sampling) {
        periodBytes = sampling.periodBytes
        exactAllocations = sampling.totals?.allocations
        exactAllocatedBytes = sampling.totals?.allocatedBytes
    }
}

/// Standard errors of a site's estimates, in bytes and blocks.
struct JSONStandardError: Encodable {
    var liveBytes: Double
    /// null: the peak is the highest of many estimates, too high by what no standard error says.
    @OrNull var peakBytes: Double?
    var allocatedBytes: Double
    var allocations: Double

    init(_ site: Site, _ sampling: Sampling) {
        liveBytes = sampling.standardError(.live, site.sizeClasses).bytes
        peakBytes = nil
        (allocations, allocatedBytes) = sampling.standardError(.allocated, site.sizeClasses)
    }
}
