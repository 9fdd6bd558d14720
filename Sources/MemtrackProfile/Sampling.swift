// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackRegion

/// How allocations were picked where not each was counted with its stack, and how far estimates may be off.
///
/// Sample points lie at random in the bytes allocated, one in `periodBytes` on average; a block of s bytes is sampled
/// with probability p = 1 - exp(-s / period), and then stands for 1 / p blocks. The counters of sites are sums of
/// such weights: unbiased estimates. Of N blocks of a size, N p are sampled on average, so that the
/// estimate of N has the variance N (1 - p) / p.
public struct Sampling: Sendable, Hashable {
    /// Mean number of bytes allocated from one sample to the next. The figures are estimates, scaled up already.
    public var periodBytes: UInt64
    /// Every allocation, sampled or not, by size class: exact. Only the allocations of the counters are set.
    /// Empty where a profile was read from a file that does not keep them.
    public var exact: [SizeClassShare]

    public init(periodBytes: UInt64, exact: [SizeClassShare] = []) {
        self.periodBytes = periodBytes
        self.exact = exact
    }

    /// All allocations, counted one by one; nil where that is not known.
    public var totals: Counters? {
        exact.isEmpty ? nil : exact.reduce(into: Counters()) { $0 += $1.counters }
    }

    /// The allocations of a size class, counted one by one; nil where the classes are not known.
    public func counted(_ sizeClass: UInt32) -> Counters? {
        if exact.isEmpty { return nil }
        return exact.first { $0.sizeClass == sizeClass }?.counters ?? Counters()
    }

    /// Estimates, and an empty one for each class that was counted and no sample has hit, in order of size.
    public func withUnhit(_ shares: [SizeClassShare]) -> [SizeClassShare] {
        let hit = Set(shares.map(\.sizeClass))
        let others = exact.lazy.filter { !hit.contains($0.sizeClass) }
            .map { SizeClassShare(sizeClass: $0.sizeClass, counters: Counters()) }
        return (shares + others).sorted { $0.sizeClass < $1.sizeClass }
    }

    /// Which figure of some counters.
    public enum Figure: Sendable { case live, peak, allocated }

    /// Standard error of an estimated number of blocks, and of their bytes, given its shares by size class.
    ///
    /// Blocks that were sampled and freed again still leave their trace in what is live: a class whose estimate is 0 is
    /// taken to be 0.
    public func standardError(_ figure: Figure, _ shares: [SizeClassShare]) -> (blocks: Double, bytes: Double)
    {
        var (blocks, bytes) = (0.0, 0.0)
        for share in shares {
            let counters = share.counters
            let (number, sum): (Double, Double) =
                switch figure {
                case .live: (Double(counters.liveBlocks), Double(counters.liveBytes))
                case .peak: (Double(counters.peakBlocks), Double(counters.peakBytes))
                case .allocated: (Double(counters.allocations), Double(counters.allocatedBytes))
                }
            guard number > 0, sum > 0, periodBytes > 0 else { continue }
            let size = sum / number
            let chance = -expm1(-size / Double(periodBytes))
            let variance = number * (1 - chance) / chance
            blocks += variance
            bytes += variance * size * size
        }
        return (blocks.squareRoot(), bytes.squareRoot())
    }

    /// Two processes of one session, or two profiles: the coarser period is the one to state.
    static func sum(_ left: Sampling?, _ right: Sampling?) -> Sampling? {
        guard var result = left else { return right }
        guard let right else { return result }
        result.periodBytes = max(result.periodBytes, right.periodBytes)
        for share in right.exact {
            if let place = result.exact.firstIndex(where: { $0.sizeClass == share.sizeClass }) {
                result.exact[place].counters += share.counters
            } else {
                result.exact.append(share)
            }
        }
        result.exact.sort { $0.sizeClass < $1.sizeClass }
        return result
    }
}
