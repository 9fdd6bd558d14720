// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Sums the counters of all banks.
///
/// The figures of one cell lie in one cache line a bank. The reader goes by chunks of 64 cells: for a
/// chunk it sums the frees of all banks, then the allocations of all banks. That is the order `region.h`
/// asks for, cell by cell, and the second pass finds its lines still in the cache.
struct CounterReader {
    static let perChunk = Int(MEMTRACK_COUNTERS_PER_CHUNK)
    private static let firstCell = Int(MEMTRACK_FIRST_CELL)
    private static let maximumBanks = Int(MEMTRACK_BANKS)

    /// The directory pages of one bank, looked up when first needed.
    private struct Bank {
        let record: UnsafePointer<memtrack_bank>
        var directories: [UnsafeRawPointer?]
    }

    /// What one chunk of one bank contributed to the first pass.
    private struct Freed {
        var blocks: UInt64
        var bytes: UInt64
    }

    /// A copy: an attempt that is repeated claims its pages anew.
    private(set) var pages: RegionPages
    private let peakEpoch: UInt32
    /// Counter indexes that can be in use: built-in cells, then the own cells.
    private let indexes: Int
    private var banks: [Bank] = []
    private var knownBanks: [Bool] = Array(repeating: false, count: maximumBanks)

    /// `sites` is the number of cells of the region's own, at most `CellTable.capacity`.
    init(pages: RegionPages, sites: Int, peakEpoch: UInt32) {
        self.pages = pages
        self.peakEpoch = peakEpoch
        indexes = Self.firstCell + sites
    }

    /// Calls `body` for each chunk, with the first counter index and the sums of its cells.
    ///
    /// `peakBlocks` and `peakBytes` are the cell's share of the recorded peak, or its live figures where
    /// `peakEpoch` is 0 (no peak recorded yet, so that the zero in fresh counters means nothing).
    mutating func forEachChunk(
        _ body: (
            _ pages: inout RegionPages, _ first: Int, _ sums: UnsafeBufferPointer<Counters>
        ) throws(RegionDamage) -> Void
    ) throws(RegionDamage) {
        let perChunk = Self.perChunk
        // Untouched memory costs nothing, so room for the greatest number of banks is fine.
        let freed = UnsafeMutablePointer<Freed>.allocate(capacity: Self.maximumBanks * perChunk)
        let sums = UnsafeMutablePointer<Counters>.allocate(capacity: perChunk)
        defer {
            freed.deallocate()
            sums.deallocate()
        }
        var chunkPages: [UnsafeRawPointer?] = []
        for chunk in 0..<(indexes + perChunk - 1) / perChunk {
            sums.initialize(repeating: Counters(), count: perChunk)
            chunkPages.removeAll(keepingCapacity: true)
            try findBanks()
            for bank in banks.indices { chunkPages.append(try counters(of: bank, chunk)) }
            for (bank, page) in chunkPages.enumerated() {
                let next = bank + 1 < chunkPages.count ? chunkPages[bank + 1] : nil
                if let page {
                    Self.addFrees(page, to: sums, keeping: freed + bank * perChunk, before: next ?? page)
                }
            }
            // A bank or a chunk that appeared meanwhile has to be seen: the blocks it allocated may
            // have been freed, and that counted, in a bank read later in the first pass.
            try findBanks()
            for bank in banks.indices {
                var page = bank < chunkPages.count ? chunkPages[bank] : nil
                if page == nil {
                    page = try counters(of: bank, chunk)
                    (freed + bank * perChunk).initialize(
                        repeating: Freed(blocks: 0, bytes: 0), count: perChunk)
                }
                guard let page else { continue }
                Self.addAllocations(page, to: sums, freed + bank * perChunk, peakEpoch)
            }
            let first = chunk * perChunk
            try body(&pages, first, UnsafeBufferPointer(start: sums, count: min(perChunk, indexes - first)))
        }
    }

    private mutating func findBanks() throws(RegionDamage) {
        // One more than were made, whether or not the count includes bank 0.
        let end = min(Int(pages.header.word(\.bank_next)) + 1, Self.maximumBanks)
        for index in 0..<end where !knownBanks[index] {
            guard let page = try pages.claim(pages.directoryEntry(index, .bank), "the bank directory")
            else { continue }
            knownBanks[index] = true
            banks.append(
                Bank(
                    record: page.assumingMemoryBound(to: memtrack_bank.self),
                    directories: Array(repeating: nil, count: Int(MEMTRACK_BANK_DIRECTORIES))))
        }
    }

    /// The page of 64 counters of a bank, or nil if the bank has none there.
    private mutating func counters(of bank: Int, _ chunk: Int) throws(RegionDamage) -> UnsafeRawPointer? {
        let own = Int(MEMTRACK_BANK_CHUNKS)
        if chunk < own {
            let entry = memtrack_load_u32(banks[bank].record.address(of: \.chunks) + chunk * 4)
            return try pages.claim(entry, "a bank")
        }
        let perDirectory = Int(MEMTRACK_CHUNKS_PER_DIRECTORY)
        let number = (chunk - own) / perDirectory
        if banks[bank].directories[number] == nil {
            let entry = memtrack_load_u32(banks[bank].record.address(of: \.directories) + number * 4)
            banks[bank].directories[number] = try pages.claim(entry, "a bank")
        }
        guard let directory = banks[bank].directories[number] else { return nil }
        let entry = memtrack_load_u32(directory + (chunk - own) % perDirectory * 4)
        return try pages.claim(entry, "a bank's directory")
    }

    /// The time goes into waiting for memory, so the page of the next bank is fetched meanwhile.
    private static func addFrees(
        _ page: UnsafeRawPointer, to sums: UnsafeMutablePointer<Counters>,
        keeping freed: UnsafeMutablePointer<Freed>, before next: UnsafeRawPointer
    ) {
        for place in 0..<perChunk {
            let record = page + place * CounterLayout.stride
            memtrack_prefetch(next + place * CounterLayout.stride)
            let blocks = memtrack_load_u64(record + CounterLayout.frees)
            let bytes = memtrack_load_u64(record + CounterLayout.freedBytes)
            (freed + place).initialize(to: Freed(blocks: blocks, bytes: bytes))
            sums[place].frees &+= blocks
            sums[place].freedBytes &+= bytes
        }
    }

    private static func addAllocations(
        _ page: UnsafeRawPointer, to sums: UnsafeMutablePointer<Counters>,
        _ freed: UnsafeMutablePointer<Freed>, _ epoch: UInt32
    ) {
        for place in 0..<perChunk {
            let record = page + place * CounterLayout.stride
            let blocks = memtrack_load_u64(record + CounterLayout.allocations)
            let bytes = memtrack_load_u64(record + CounterLayout.allocatedBytes)
            sums[place].allocations &+= blocks
            sums[place].allocatedBytes &+= bytes
            sums[place].temporary &+= memtrack_load_u64(record + CounterLayout.temporary)
            // After the counters: an epoch that is still old proves that they had not changed since the peak.
            if epoch != 0, let peak = CounterLayout.peak(record, epoch) {
                sums[place].peakBlocks &+= peak.blocks
                sums[place].peakBytes &+= peak.bytes
            } else {
                sums[place].peakBlocks &+= Int64(bitPattern: blocks &- freed[place].blocks)
                sums[place].peakBytes &+= Int64(bitPattern: bytes &- freed[place].bytes)
            }
        }
    }
}

/// What the banks say besides their counters.
struct BankTotals {
    /// Banks that a thread has used.
    var used = 0
    var owners: UInt64 = 0
    var walks: UInt64 = 0
    var fullWalks: UInt64 = 0

    /// Adds one bank.
    mutating func add(_ bank: UnsafePointer<memtrack_bank>) {
        let owners = bank.word(\.owners)
        if owners != 0 || Self.hasCounters(bank) { used += 1 }
        self.owners &+= owners
        walks &+= bank.word(\.walks)
        fullWalks &+= bank.word(\.full_walks)
    }

    /// Bank 0 has no owner.
    private static func hasCounters(_ bank: UnsafePointer<memtrack_bank>) -> Bool {
        (0..<Int(MEMTRACK_BANK_CHUNKS)).contains {
            memtrack_load_u32(bank.address(of: \.chunks) + $0 * 4) != 0
        }
    }
}

extension CounterReader {
    /// The banks found by `forEachChunk`, or by this call if that was not made.
    mutating func bankTotals() throws(RegionDamage) -> BankTotals {
        try findBanks()
        var totals = BankTotals()
        for bank in banks { totals.add(bank.record) }
        return totals
    }
}

/// `struct memtrack_counters` as constants, see `NodeLayout`. A test holds them against the C header.
enum CounterLayout {
    static let stride = 64
    static let allocations = 0
    static let allocatedBytes = 8
    static let frees = 16
    static let freedBytes = 24
    static let temporary = 32
    /// Sequence in the low half, epoch in the high half of one 64-bit word.
    static let peakSequence = 40
    static let peakEpoch = 44
    static let peakBlocks = 48
    static let peakBytes = 56

    /// A writer holds the sequence for a few stores; one that was killed there holds it for ever.
    private static let tries = 64

    /// The stored pair if it belongs to `epoch`; nil if it does not, or cannot be had.
    @inline(__always)
    static func peak(_ record: UnsafeRawPointer, _ epoch: UInt32) -> (blocks: Int64, bytes: Int64)? {
        var word = memtrack_load_u64(record + peakSequence)
        if UInt32(truncatingIfNeeded: word >> 32) != epoch && word & 1 == 0 { return nil }
        for _ in 0..<tries {
            let blocks = memtrack_load_i64(record + peakBlocks)
            let bytes = memtrack_load_i64(record + peakBytes)
            let again = memtrack_load_u64(record + peakSequence)
            if word == again && word & 1 == 0 {
                return UInt32(truncatingIfNeeded: word >> 32) == epoch ? (blocks, bytes) : nil
            }
            word = again
        }
        return nil
    }
}
