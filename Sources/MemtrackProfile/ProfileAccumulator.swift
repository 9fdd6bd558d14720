// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// Adds up allocations by stack and size class, and makes a `Profile` of them.
///
/// The session keeps one for the processes that have ended, so that their regions can be removed. All
/// profiles added must come from one `ProfileBuilder`: their ids are then names of the same stacks.
public struct ProfileAccumulator: Sendable {
    /// Counters of a stack in one size class; `next` leads to the stack's other classes: place + 1, 0 at the end.
    /// Most stacks allocate in one or two classes, so a chain is quicker than a hash.
    private struct Entry: Sendable {
        var counters: Counters
        var sizeClass: UInt32
        var next: UInt32
    }

    private var entries: [Entry] = []
    /// Where a stack's chain begins: place + 1, indexed by stack id, 0 for none.
    private var chains: [UInt32] = []
    private var table = StackTable()
    private var modules: [ProfileModule] = []
    private var knownModules: Set<ProfileModule> = []
    private var shim = ShimFigures()
    private var sampling: Sampling?
    /// nil where it is not known of one of them.
    private var slackBytes: UInt64? = 0
    /// Of the last process added: of use where it is the only one.
    private var peakMoment: UInt64?
    private var peakProcesses = 0

    public init() {}

    /// Nothing has been added.
    public var isEmpty: Bool { peakProcesses == 0 }

    init(capacity: Int) {
        entries.reserveCapacity(capacity)
    }

    public mutating func add(_ profile: Profile) {
        adopt(profile.table)
        for sample in profile.samples {
            add(stack: sample.stack, sizeClass: sample.sizeClass, sample.counters)
        }
        add(modules: profile.modules)
        shim += profile.shim
        sampling = Sampling.sum(sampling, profile.sampling)
        add(slack: profile.peak.slackBytes)
        peakMoment = profile.peak.monotonicNanoseconds
        peakProcesses &+= profile.peak.processes
    }

    /// The sum of everything added so far.
    public var profile: Profile {
        var result = Profile()
        result.table = table
        result.modules = modules
        result.shim = shim
        result.sampling = sampling
        result.peak = Peak(
            slackBytes: slackBytes,
            monotonicNanoseconds: peakProcesses == 1 ? peakMoment : nil,
            processes: peakProcesses)
        makeSites(&result)
        makeSizeClasses(&result)
        return result
    }

    /// What is known of a site before its place is.
    private struct Draft {
        var id: FrameID
        var counters = Counters()
        var stacks: [StackShare] = []
    }

    /// Books each stack on its site.
    private func makeSites(_ result: inout Profile) {
        /// Each frame's place among the drafts plus one, 0 for none.
        var places = [UInt32](repeating: 0, count: table.frames.count)
        var drafts: [Draft] = []
        result.samples.reserveCapacity(entries.count)
        for (index, chain) in chains.enumerated() where chain > 0 {
            let stack = StackID(index)
            let id = table.siteFrame(of: stack)
            if places[Int(id)] == 0 {
                drafts.append(Draft(id: id))
                places[Int(id)] = UInt32(drafts.count)
            }
            let first = result.samples.count
            var counters = Counters()
            var place = chain
            while place > 0 {
                let entry = entries[Int(place) - 1]
                counters += entry.counters
                result.samples.append(
                    StackSample(stack: stack, sizeClass: entry.sizeClass, counters: entry.counters))
                place = entry.next
            }
            if result.samples.count > first + 1 {
                result.samples[first...].sort { $0.sizeClass < $1.sizeClass }
            }
            let site = Int(places[Int(id)]) - 1
            drafts[site].counters += counters
            drafts[site].stacks.append(StackShare(stack: stack, counters: counters))
            result.totals += counters
        }
        // Sorted before they become sites: a site is five references, and each of its copies costs these.
        let weights = drafts.map(\.counters.liveBytes)
        let order = drafts.indices.sorted { left, right in
            weights[left] != weights[right]
                ? weights[left] > weights[right] : table.precedes(drafts[left].id, drafts[right].id)
        }
        result.sites = order.map { place in
            let draft = drafts[place]
            return Site(
                id: draft.id, frame: table.frame(draft.id), counters: draft.counters, stacks: draft.stacks)
        }
    }

    private func makeSizeClasses(_ result: inout Profile) {
        var all = ClassSums()
        var ofSite = ClassSums()
        for site in result.sites.indices {
            for share in result.sites[site].stacks {
                var place = chains[Int(share.stack)]
                while place > 0 {
                    let entry = entries[Int(place) - 1]
                    ofSite.add(entry.sizeClass, entry.counters)
                    all.add(entry.sizeClass, entry.counters)
                    place = entry.next
                }
            }
            result.sites[site].sizeClasses = ofSite.take()
        }
        result.sizeClasses = all.take()
    }

    public mutating func add(stack: StackID, sizeClass: UInt32, _ counters: Counters) {
        let index = Int(stack)
        if index >= chains.count {
            let count = max(index + 1, chains.count * 2)
            chains.append(contentsOf: repeatElement(0, count: count - chains.count))
        }
        var place = chains[index]
        while place > 0 {
            if entries[Int(place) - 1].sizeClass == sizeClass {
                entries[Int(place) - 1].counters += counters
                return
            }
            place = entries[Int(place) - 1].next
        }
        entries.append(Entry(counters: counters, sizeClass: sizeClass, next: chains[index]))
        chains[index] = UInt32(entries.count)
    }

    func withCounters(_ changed: (Counters) -> Counters) -> ProfileAccumulator {
        var result = self
        for index in result.entries.indices {
            result.entries[index].counters = changed(result.entries[index].counters)
        }
        return result
    }

    private mutating func add(slack other: UInt64?) {
        slackBytes = slackBytes.flatMap { own in other.map { own &+ $0 } }
    }

    private mutating func add(modules new: [ProfileModule]) {
        for module in new where knownModules.insert(module).inserted { modules.append(module) }
    }

    /// Takes over the table and the figures of one source, without its cells.
    public mutating func take(
        table: StackTable? = nil, modules: [ProfileModule], shim: ShimFigures, sampling: Sampling? = nil,
        slackBytes: UInt64?, peakMoment: UInt64?
    ) {
        if let table { adopt(table) }
        add(modules: modules)
        self.shim += shim
        self.sampling = Sampling.sum(self.sampling, sampling)
        add(slack: slackBytes)
        self.peakMoment = peakMoment
        peakProcesses += 1
    }

    /// The names of the stacks. Tables only grow, so the longer of two is the newer one.
    public mutating func adopt(_ other: StackTable) {
        if other.count >= table.count && other.frames.count >= table.frames.count { table = other }
    }
}

/// Sums by size class, emptied by `take` at the cost of the classes used.
private struct ClassSums {
    private var sums = [Counters](repeating: Counters(), count: 256)
    private var isUsed = [Bool](repeating: false, count: 256)
    private var used: [UInt32] = []

    mutating func add(_ sizeClass: UInt32, _ counters: Counters) {
        let index = Int(sizeClass & 0xff)
        if !isUsed[index] {
            isUsed[index] = true
            used.append(UInt32(index))
        }
        sums[index] += counters
    }

    mutating func take() -> [SizeClassShare] {
        let result = used.sorted().map { SizeClassShare(sizeClass: $0, counters: sums[Int($0)]) }
        for index in used {
            sums[Int(index)] = Counters()
            isUsed[Int(index)] = false
        }
        used.removeAll(keepingCapacity: true)
        return result
    }
}
