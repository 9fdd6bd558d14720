// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

extension Profile {
    /// What a process that has ended adds to a session that goes on: its allocations stay on the books, and
    /// nothing of it is live, because the kernel took everything back. Shares of its peak stay.
    public var settled: Profile {
        var result = self
        result.totals = totals.settled
        result.sizeClasses = sizeClasses.map {
            SizeClassShare(sizeClass: $0.sizeClass, counters: $0.counters.settled)
        }
        for index in result.samples.indices {
            result.samples[index].counters = result.samples[index].counters.settled
        }
        for index in result.sites.indices {
            result.sites[index].counters = result.sites[index].counters.settled
            for share in result.sites[index].stacks.indices {
                result.sites[index].stacks[share].counters =
                    result.sites[index].stacks[share].counters.settled
            }
            result.sites[index].sizeClasses = result.sites[index].sizeClasses.map {
                SizeClassShare(sizeClass: $0.sizeClass, counters: $0.counters.settled)
            }
        }
        return result
    }
}

extension ProfileAccumulator {
    /// The sum of settled profiles is the settled sum.
    public var settled: ProfileAccumulator { withCounters(\.settled) }
}

extension Counters {
    /// The same with everything freed.
    var settled: Counters {
        var result = self
        result.frees = allocations
        result.freedBytes = allocatedBytes
        return result
    }
}
