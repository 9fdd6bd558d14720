// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// How far the figures of a row may be off where a side was sampled: variances of `ProfileDiff.types`, summed over runs.
///
/// A side that sampled nothing of a row does not know that there is nothing. So the variance of an estimate is also that
/// which it would have if the other side's figures were the truth: the larger one counts.
struct DiffVariances {
    /// Of this side's estimates.
    var own = SIMD4<Double>.zero
    /// Of the other side's, if this side's figures were the truth.
    var other = SIMD4<Double>.zero

    init() {}

    init(_ shares: [SizeClassShare], own: Sampling?, other: Sampling?) {
        if let own { self.own = Self.variance(own, shares) }
        if let other { self.other = Self.variance(other, shares) }
    }

    static func += (left: inout DiffVariances, right: DiffVariances) {
        left.own += right.own
        left.other += right.other
    }

    /// In the order of `ProfileDiff.types`.
    private static func variance(_ sampling: Sampling, _ shares: [SizeClassShare]) -> SIMD4<Double> {
        let allocated = sampling.standardError(.allocated, shares)
        let errors = SIMD4(
            sampling.standardError(.live, shares).bytes, sampling.standardError(.peak, shares).bytes,
            allocated.blocks, allocated.bytes)
        return errors * errors
    }

    /// Standard errors of the changes from one side to the other, each of so many runs.
    static func errors(
        _ old: DiffVariances, _ oldRuns: Int, _ new: DiffVariances, _ newRuns: Int
    ) -> SIMD4<Double> {
        let (before, after) = (Double(max(1, oldRuns)), Double(max(1, newRuns)))
        let ofOld = pointwiseMax(old.own / before, new.other / after)
        let ofNew = pointwiseMax(new.own / after, old.other / before)
        return (ofOld + ofNew).squareRoot()
    }

    /// All allocations were counted one by one: only what is live is an estimate.
    mutating func settleAllocations(own: Bool, other: Bool) {
        for figure in ProfileDiff.types.indices where !ProfileDiff.types[figure].isOfLiveMemory {
            if own { self.own[figure] = 0 }
            if other { self.other[figure] = 0 }
        }
    }
}

extension SampleType {
    fileprivate var isOfLiveMemory: Bool {
        switch self {
        case .inuseObjects, .inuseSpace, .peakObjects, .peakSpace: true
        case .allocObjects, .allocSpace, .temporaryObjects: false
        }
    }
}

extension Profile {
    /// Totals, of which those of a sampled run's allocations are exact where they were counted one by one.
    var countedTotals: Counters {
        guard let exact = sampling?.totals else { return totals }
        var result = totals
        result.allocations = exact.allocations
        result.allocatedBytes = exact.allocatedBytes
        // What is live stays as it was estimated.
        result.frees &+= exact.allocations &- totals.allocations
        result.freedBytes &+= exact.allocatedBytes &- totals.allocatedBytes
        return result
    }
}
