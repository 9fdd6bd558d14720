// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// Adds up allocations by stack and size class, and makes a `Profile` of them.
///
/// The session keeps one for the processes that have ended, so that their regions can be removed. All
/// profiles added must come from one `ProfileBuilder`: their ids are then names of the same stacks.
public struct ProfileAccumulator: Sendable {
    private var stacks: [StackID: Counters] = [:]
    /// Keyed by site << 8 | size class; there are fewer than 256 classes.
    private var classes: [UInt64: Counters] = [:]
    private var table = StackTable()
    private var shim = ShimFigures()
    private var slackBytes: UInt64 = 0
    private var peakMoments: [UInt64?] = []

    public init() {}

    init(capacity: Int) {
        stacks.reserveCapacity(capacity)
        classes.reserveCapacity(capacity / 2)
    }

    public mutating func add(_ profile: Profile) {
        adopt(profile.table)
        for site in profile.sites {
            for share in site.stacks { stacks[share.stack, default: Counters()] += share.counters }
            for share in site.sizeClasses {
                classes[Self.key(site.id, share.sizeClass), default: Counters()] += share.counters
            }
        }
        shim += profile.shim
        slackBytes &+= profile.peak.slackBytes
        peakMoments += Array(repeating: profile.peak.monotonicNanoseconds, count: profile.peak.processes)
    }

    /// The sum of everything added so far.
    public var profile: Profile {
        var result = Profile()
        result.table = table
        result.shim = shim
        result.peak = Peak(
            slackBytes: slackBytes,
            monotonicNanoseconds: peakMoments.count == 1 ? peakMoments[0] : nil,
            processes: peakMoments.count)

        var places: [FrameID: Int] = [:]
        for (stack, counters) in stacks.sorted(by: { $0.key < $1.key }) {
            let id = table.siteFrame(of: stack)
            let place: Int
            if let known = places[id] {
                place = known
            } else {
                place = result.sites.count
                places[id] = place
                result.sites.append(
                    Site(id: id, frame: table.frame(id), counters: Counters(), stacks: [], sizeClasses: []))
            }
            result.sites[place].counters += counters
            result.sites[place].stacks.append(StackShare(stack: stack, counters: counters))
            result.totals += counters
        }
        var byClass: [UInt32: Counters] = [:]
        for (key, counters) in classes.sorted(by: { $0.key < $1.key }) {
            let sizeClass = UInt32(key & 0xff)
            guard let place = places[FrameID(key >> 8)] else { continue }
            result.sites[place].sizeClasses.append(SizeClassShare(sizeClass: sizeClass, counters: counters))
            byClass[sizeClass, default: Counters()] += counters
        }
        result.sizeClasses = byClass.map { SizeClassShare(sizeClass: $0.key, counters: $0.value) }
            .sorted { $0.sizeClass < $1.sizeClass }
        result.sites = SiteOrder.live.sorted(result.sites)
        return result
    }

    mutating func add(stack: StackID, site: FrameID, sizeClass: UInt32, counters: Counters) {
        stacks[stack, default: Counters()] += counters
        classes[Self.key(site, sizeClass), default: Counters()] += counters
    }

    /// Takes over the table and the figures of one region, without its cells.
    mutating func take(table: StackTable, shim: ShimFigures, slackBytes: UInt64, peakMoment: UInt64?) {
        adopt(table)
        self.shim += shim
        self.slackBytes &+= slackBytes
        peakMoments.append(peakMoment)
    }

    /// Tables only grow, so the longer of two is the newer one.
    private mutating func adopt(_ other: StackTable) {
        if other.count >= table.count && other.frames.count >= table.frames.count { table = other }
    }

    private static func key(_ site: FrameID, _ sizeClass: UInt32) -> UInt64 {
        UInt64(site) << 8 | UInt64(sizeClass & 0xff)
    }
}
