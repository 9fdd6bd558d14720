// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// Adds up allocations by stack and size class, and makes a `Profile` of them.
///
/// The session keeps one for the processes that have ended, so that their regions can be removed. All
/// profiles added must come from one `ProfileBuilder`: their ids are then names of the same stacks.
public struct ProfileAccumulator: Sendable {
    /// Counters by stack, and where a stack's are: place + 1, indexed by stack id, 0 for none.
    private var stackCounters: [Counters] = []
    private var stackPlaces: [UInt32] = []
    /// The same by site << 8 | size class; there are fewer than 256 classes.
    private var classCounters: [Counters] = []
    private var classPlaces: [UInt64: UInt32] = [:]
    private var table = StackTable()
    private var shim = ShimFigures()
    private var slackBytes: UInt64 = 0
    private var peakMoments: [UInt64?] = []

    public init() {}

    init(capacity: Int) {
        stackCounters.reserveCapacity(capacity)
    }

    public mutating func add(_ profile: Profile) {
        adopt(profile.table)
        for site in profile.sites {
            for share in site.stacks { add(stack: share.stack, share.counters) }
            for share in site.sizeClasses {
                add(site: site.id, sizeClass: share.sizeClass, share.counters)
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
        let places = makeSites(&result)
        makeSizeClasses(&result, places: places)
        result.sites = SiteOrder.live.sorted(result.sites)
        return result
    }

    /// Books each stack on its site. The result is each frame's place among the sites plus one, 0 for none.
    private func makeSites(_ result: inout Profile) -> [UInt32] {
        var places = [UInt32](repeating: 0, count: table.frames.count)
        for (index, place) in stackPlaces.enumerated() where place > 0 {
            let stack = StackID(index)
            let id = table.siteFrame(of: stack)
            if places[Int(id)] == 0 {
                result.sites.append(Site(id: id, frame: table.frame(id), counters: Counters()))
                places[Int(id)] = UInt32(result.sites.count)
            }
            let counters = stackCounters[Int(place) - 1]
            let site = Int(places[Int(id)]) - 1
            result.sites[site].counters += counters
            result.sites[site].stacks.append(StackShare(stack: stack, counters: counters))
            result.totals += counters
        }
        return places
    }

    private func makeSizeClasses(_ result: inout Profile, places: [UInt32]) {
        var sums = [Counters](repeating: Counters(), count: 256)
        var used = [Bool](repeating: false, count: 256)
        // Sorting keys alone is much cheaper than sorting counters.
        for key in classPlaces.keys.sorted() {
            guard let place = classPlaces[key] else { continue }
            let counters = classCounters[Int(place)]
            let sizeClass = Int(key & 0xff)
            let site = Int(places[Int(key >> 8)]) - 1
            if site >= 0 {
                result.sites[site].sizeClasses.append(
                    SizeClassShare(sizeClass: UInt32(sizeClass), counters: counters))
            }
            sums[sizeClass] += counters
            used[sizeClass] = true
        }
        result.sizeClasses = sums.indices.filter { used[$0] }.map {
            SizeClassShare(sizeClass: UInt32($0), counters: sums[$0])
        }
    }

    mutating func add(stack: StackID, _ counters: Counters) {
        let index = Int(stack)
        if index >= stackPlaces.count {
            let count = max(index, table.count) + 1 - stackPlaces.count
            stackPlaces.append(contentsOf: repeatElement(0, count: count))
        }
        if stackPlaces[index] == 0 {
            stackCounters.append(counters)
            stackPlaces[index] = UInt32(stackCounters.count)
        } else {
            stackCounters[Int(stackPlaces[index]) - 1] += counters
        }
    }

    mutating func add(site: FrameID, sizeClass: UInt32, _ counters: Counters) {
        let key = UInt64(site) << 8 | UInt64(sizeClass & 0xff)
        let next = UInt32(classCounters.count)
        let place = classPlaces[key, default: next]
        if place == next {
            classPlaces[key] = next
            classCounters.append(counters)
        } else {
            classCounters[Int(place)] += counters
        }
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
}
