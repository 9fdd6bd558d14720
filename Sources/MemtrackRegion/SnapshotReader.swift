// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Copies a whole region into values.
///
/// The order is the reverse of the writer's, so that whatever is named by what was read is there: counters,
/// then the cells they belong to, then the nodes, then the modules.
struct SnapshotReader {
    private var pages: RegionPages
    /// Of this snapshot and those before it.
    private(set) var table: NodeTable
    private var header: UnsafePointer<memtrack_header> { pages.header }

    /// While peaks follow each other faster than the counters can be read, the peak is the present.
    private static let attempts = 3

    /// - Parameter table: what earlier snapshots of the region have read.
    init(pages: RegionPages, table: NodeTable = NodeTable()) {
        self.pages = pages
        self.table = table
    }

    mutating func read() throws(RegionDamage) -> RegionSnapshot {
        var snapshot = RegionSnapshot(identity: try header.identity())
        snapshot.state = try header.state()
        snapshot.unwinder = try header.unwinder()
        snapshot.stackDepth = header.word(\.stack_depth)
        snapshot.capabilities = header.word(\.capabilities)
        snapshot.sampleBytes = header.word(\.sample_bytes)

        try readCounters(into: &snapshot)
        try pages.readNodes(into: &table)
        snapshot.modules = try pages.modules()
        table.check(modules: snapshot.modules)
        snapshot.nodes = table.nodes
        snapshot.damagedRecords += table.damaged
        checkStacks(of: &snapshot)

        snapshot.markersSet = Int(header.word(\.marker_next))
        snapshot.markers = try pages.markers()
        snapshot.gauges = try pages.gauges()
        snapshot.health = header.health()
        snapshot.regionBytes = pages.bytesInUse
        snapshot.privateBytes = header.word(\.own_private_bytes)
        snapshot.reservedBytes = header.word(\.own_reserved_bytes)
        snapshot.mappings = header.mappings()
        snapshot.python = RegionPython(rawValue: header.word(\.python) & 0xffff) ?? .unknown
        snapshot.pythonMinor = header.word(\.python) >> 16 & 0xff
        snapshot.pythonBefore = header.word(\.python_before)
        snapshot.liveMap = RegionLiveMap(
            root: header.word(\.livemap_root), unit: header.word(\.livemap_unit),
            chunkShift: header.word(\.livemap_chunk_shift), side: header.word(\.livemap_side))
        return snapshot
    }

    private mutating func readCounters(into snapshot: inout RegionSnapshot) throws(RegionDamage) {
        let sites = CellTable.sites(header)
        for attempt in 1...Self.attempts {
            let epoch = header.word(\.peak_epoch)
            let peakTime = header.word(\.peak_monotonic_ns)
            var table = CellTable(base: header.word(\.cell_base))
            var reader = CounterReader(pages: pages, sites: sites, peakEpoch: epoch)
            var cells: [RegionCell] = []
            cells.reserveCapacity(sites + Int(MEMTRACK_FIRST_CELL))
            var builtIn: [RegionCell] = []
            var classes: [RegionClassCount] = []
            var damaged = 0
            try reader.forEachChunk { (pages, first, sums) throws(RegionDamage) in
                try table.append(
                    &pages, first, sums, sites: &cells, builtIn: &builtIn, classes: &classes,
                    damaged: &damaged)
            }
            let settled = header.word(\.peak_epoch) == epoch
            guard settled || attempt == Self.attempts else { continue }

            let banks = try reader.bankTotals()
            pages = reader.pages
            cells.append(contentsOf: builtIn)
            snapshot.cells = cells
            weigh(&snapshot.cells, shift: header.word(\.weight_shift))
            snapshot.exactClasses = snapshot.sampleBytes == 0 ? [] : classes
            if snapshot.sampleBytes == 0 { snapshot.damagedRecords += classes.count }
            snapshot.cellIDs = table.siteIDs + table.builtInIDs
            snapshot.damagedRecords += damaged
            snapshot.banks = banks.used
            snapshot.threadsSeen = banks.owners
            snapshot.walks = banks.walks
            snapshot.fullWalks = banks.fullWalks
            takeInherited(of: &snapshot)
            for cell in snapshot.cells { snapshot.totals += cell.counters }
            setPeak(of: &snapshot, recorded: settled && epoch != 0 ? peakTime : nil)
            return
        }
    }

    /// `recorded` is the time of the peak to which the cells' pairs belong, or nil if there is none.
    private func setPeak(of snapshot: inout RegionSnapshot, recorded: UInt64?) {
        let bytes = header.word(\.peak_bytes)
        let isShared = header.word(\.threads_seen_shared) != 0
        snapshot.recordedPeakBytes = bytes
        snapshot.peakSlackBytes =
            isShared ? UInt64(header.word(\.flush_bytes)) * UInt64(max(2, snapshot.banks)) : 0
        let live = snapshot.totals.liveBytes &+ Int64(clamping: snapshot.health.inheritedFreedBytes)
        if let recorded, live <= bytes {
            snapshot.peakMonotonicNanoseconds = recorded
            return
        }
        // More is live than ever was recorded: the peak is this moment.
        snapshot.peakMonotonicNanoseconds = 0
        for index in snapshot.cells.indices where snapshot.cells[index].kind != .inherited {
            snapshot.cells[index].counters.peakBlocks = snapshot.cells[index].counters.liveBlocks
            snapshot.cells[index].counters.peakBytes = snapshot.cells[index].counters.liveBytes
        }
        snapshot.totals.peakBlocks =
            snapshot.totals.liveBlocks &+ Int64(clamping: snapshot.health.inheritedFrees)
        snapshot.totals.peakBytes = live
    }

    /// With sampling blocks are counted in fractions. Rounded so that what is freed altogether is so after it.
    private func weigh(_ cells: inout [RegionCell], shift: UInt32) {
        guard shift > 0, shift < 32 else { return }
        func whole<Count: FixedWidthInteger>(_ count: Count) -> Count {
            (count &+ (1 << (shift - 1))) >> shift
        }
        for index in cells.indices {
            var counters = cells[index].counters
            counters.allocations = whole(counters.allocations)
            counters.frees = whole(counters.frees)
            counters.temporary = whole(counters.temporary)
            counters.peakBlocks = whole(counters.peakBlocks)
            cells[index].counters = counters
        }
    }

    /// What a forked child frees of its parent's was never in its own live total: it is no part of its peak.
    private func takeInherited(of snapshot: inout RegionSnapshot) {
        for index in snapshot.cells.indices where snapshot.cells[index].kind == .inherited {
            snapshot.health.inheritedFrees &+= snapshot.cells[index].counters.frees
            snapshot.health.inheritedFreedBytes &+= snapshot.cells[index].counters.freedBytes
            snapshot.cells[index].counters.peakBlocks = 0
            snapshot.cells[index].counters.peakBytes = 0
        }
    }

    /// A site whose stack is not there keeps its figures, as one whose stack could not be taken.
    private func checkStacks(of snapshot: inout RegionSnapshot) {
        let nodes = snapshot.nodes
        for index in snapshot.cells.indices where snapshot.cells[index].kind == .site {
            let stack = Int(snapshot.cells[index].stack)
            if stack < nodes.count, nodes[stack] != nil { continue }
            snapshot.cells[index].kind = .noStack
            snapshot.cells[index].stack = 0
            snapshot.damagedRecords += 1
        }
    }
}

/// The records of cells, read beside their counters.
struct CellTable {
    /// Cells that have both a record and a counter index.
    static let capacity = min(
        Int(MEMTRACK_CELL_CHUNKS) * perChunk,
        Int(MEMTRACK_BANK_DIRECTORIES) * Int(MEMTRACK_CHUNKS_PER_DIRECTORY) * CounterReader.perChunk
            - Int(MEMTRACK_FIRST_CELL))
    private static let perChunk = Int(MEMTRACK_CELLS_PER_CHUNK)
    private static let stride = 8

    /// First own cell id.
    let base: UInt32
    private var chunk = -1
    private var records: UnsafeRawPointer?
    /// Ids of the cells appended so far.
    private(set) var siteIDs: [UInt32] = []
    private(set) var builtInIDs: [UInt32] = []

    init(base: UInt32) {
        self.base = base
    }

    /// Own cells handed out so far.
    static func sites(_ header: UnsafePointer<memtrack_header>) -> Int {
        let base = Int(header.word(\.cell_base))
        return min(max(Int(header.word(\.cell_next)) - base, 0), capacity)
    }

    /// Appends those cells of a chunk of counters that have been used. `first` is a counter index.
    mutating func append(
        _ pages: inout RegionPages, _ first: Int, _ sums: UnsafeBufferPointer<Counters>,
        sites: inout [RegionCell], builtIn: inout [RegionCell], classes: inout [RegionClassCount],
        damaged: inout Int
    ) throws(RegionDamage) {
        for place in sums.indices where sums[place].isUsed {
            let index = first + place
            if index < Int(MEMTRACK_FIRST_CELL) {
                if index < Int(MEMTRACK_CLASSES) {
                    classes.append(RegionClassCount(sizeClass: UInt32(index), counters: sums[place]))
                    continue
                }
                guard let kind = Self.kind(of: index / Int(MEMTRACK_CLASSES)) else {
                    damaged += 1
                    continue
                }
                builtInIDs.append(UInt32(index))
                builtIn.append(
                    RegionCell(
                        kind: kind, stack: 0, sizeClass: UInt32(index) % MEMTRACK_CLASSES,
                        counters: sums[place]))
                continue
            }
            guard let record = try record(&pages, index - Int(MEMTRACK_FIRST_CELL)) else {
                damaged += 1
                continue
            }
            let stack = memtrack_load_u32(record)
            let sizeClass = memtrack_load_u32(record + 4)
            guard stack != 0, sizeClass < MEMTRACK_CLASSES else {
                damaged += 1
                continue
            }
            siteIDs.append(base &+ UInt32(index) &- MEMTRACK_FIRST_CELL)
            sites.append(RegionCell(kind: .site, stack: stack, sizeClass: sizeClass, counters: sums[place]))
        }
    }

    /// The record of the own cell `number`, counted from `cell_base`.
    private mutating func record(
        _ pages: inout RegionPages, _ number: Int
    ) throws(RegionDamage) -> UnsafeRawPointer? {
        if number / Self.perChunk != chunk {
            chunk = number / Self.perChunk
            let count = UInt32(Self.perChunk * Self.stride / RegionPages.bytes)
            records = try pages.claim(
                pages.directoryEntry(chunk, .cells), count: count, "the cell directory")
        }
        return records.map { $0 + number % Self.perChunk * Self.stride }
    }

    private static func kind(of number: Int) -> RegionCellKind? {
        switch UInt32(number) {
        case MEMTRACK_KIND_OVERFLOW.rawValue: .overflow
        case MEMTRACK_KIND_REENTRANT.rawValue: .reentrant
        case MEMTRACK_KIND_INHERITED.rawValue: .inherited
        case MEMTRACK_KIND_NO_STACK.rawValue: .noStack
        default: nil
        }
    }
}

extension Counters {
    fileprivate var isUsed: Bool { allocations | allocatedBytes | frees | freedBytes | temporary != 0 }
}
