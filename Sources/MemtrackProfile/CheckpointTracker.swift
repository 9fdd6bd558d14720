// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// Makes checkpoints, each compared with the one before.
public struct CheckpointTracker: Sendable {
    /// How the table of sites is made.
    public struct Options: Sendable {
        public var order: SiteOrder
        public var filter: SiteFilter?
        /// Rows.
        public var limit: Int
        public var callers: Int

        public init(order: SiteOrder = .live, filter: SiteFilter? = nil, limit: Int = 10, callers: Int = 3) {
            self.order = order
            self.filter = filter
            self.limit = limit
            self.callers = callers
        }
    }

    private struct Past: Sendable {
        var liveBytes: Int64
        var allocations: UInt64
    }

    private let options: Options
    private let program: String
    private let pid: Int32
    private var number = 0
    private var elapsed: Double = 0
    private var figures: ProcessFigures?
    /// By frame.
    private var sites: [Past] = []
    private var totals = Past(liveBytes: 0, allocations: 0)

    public init(program: String, pid: Int32, options: Options = Options()) {
        self.program = program
        self.pid = pid
        self.options = options
    }

    /// - Parameters:
    ///   - elapsed: seconds since the start of the program.
    ///   - profile: of the whole session; nil where no objects are counted.
    public mutating func checkpoint(
        time: WallTime, elapsed: Double, figures: ProcessFigures?, profile: Profile?
    ) -> Checkpoint {
        number += 1
        let result = Checkpoint(
            number: number, time: time, elapsed: elapsed, interval: max(0, elapsed - self.elapsed),
            program: program, pid: pid, figures: figures, previousFigures: self.figures,
            objects: profile.map { objects($0) })
        self.elapsed = elapsed
        if let figures { self.figures = figures }
        if let profile { remember(profile) }
        return result
    }

    private mutating func remember(_ profile: Profile) {
        totals = Past(liveBytes: profile.totals.liveBytes, allocations: profile.totals.allocations)
        sites = Array(repeating: Past(liveBytes: 0, allocations: 0), count: profile.table.frames.count)
        for site in profile.sites {
            sites[Int(site.id)] = Past(
                liveBytes: site.counters.liveBytes, allocations: site.counters.allocations)
        }
    }

    private func objects(_ profile: Profile) -> Checkpoint.Objects {
        var change = [Int64](repeating: 0, count: profile.table.frames.count)
        for site in profile.sites {
            change[Int(site.id)] = site.counters.liveBytes &- past(site.id).liveBytes
        }
        let admitted = options.filter?.apply(to: profile.sites) ?? profile.sites
        // A profile's sites are in the order of their live bytes.
        let sorted =
            options.order == .live
            ? admitted : options.order.sorted(admitted, of: profile.table) { change[Int($0)] }
        let shown = sorted.prefix(max(0, options.limit)).map { site in
            SiteRow(
                frame: site.frame, counters: site.counters, liveChange: change[Int(site.id)],
                newAllocations: newAllocations(site),
                callers: profile.table.callers(
                    of: site.heaviestStack(by: options.order == .growth ? .live : options.order),
                    limit: options.callers))
        }
        var filtered = RemainingSites()
        if let filter = options.filter {
            filtered = remaining(profile.sites.filter { !filter.admits($0.frame) }[...], change)
        }
        return Checkpoint.Objects(
            totals: profile.totals, liveChange: profile.totals.liveBytes &- totals.liveBytes,
            newAllocations: Self.difference(profile.totals.allocations, totals.allocations),
            order: options.order, filter: options.filter?.text, rows: Array(shown),
            remaining: remaining(sorted.dropFirst(shown.count), change), filtered: filtered,
            sizeClasses: profile.sizeClasses, sampling: profile.sampling)
    }

    private func remaining(_ rest: ArraySlice<Site>, _ change: [Int64]) -> RemainingSites {
        var result = RemainingSites()
        for site in rest {
            result.count += 1
            result.counters += site.counters
            result.liveChange &+= change[Int(site.id)]
            result.newAllocations &+= newAllocations(site)
        }
        return result
    }

    private func newAllocations(_ site: Site) -> UInt64 {
        Self.difference(site.counters.allocations, past(site.id).allocations)
    }

    private func past(_ site: FrameID) -> Past {
        Int(site) < sites.count ? sites[Int(site)] : Past(liveBytes: 0, allocations: 0)
    }

    private static func difference(_ now: UInt64, _ before: UInt64) -> UInt64 {
        now > before ? now - before : 0
    }
}
