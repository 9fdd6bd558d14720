// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// A live block of the target.
struct LiveBlock {
    var address: UInt64
    /// As requested by the program.
    var size: UInt64
    var cell: UInt32
    /// Place among the census's types; 0 for none. In the same word, because a million blocks are nothing unusual.
    var type: UInt32 = 0

    /// Type and cell; not 0, as cells are numbered from 1.
    var key: UInt64 { UInt64(type) << 32 | UInt64(cell) }
}

/// Decodes the shim's list of live blocks. The format is described in `CShim/src/livemap.h`, and nothing else in the
/// reader knows it.
///
/// The target goes on while it is read, so entries may be torn: what cannot be is left out and counted.
struct LiveMap {
    private let map: RegionLiveMap
    private let memory: any TargetMemory

    private(set) var blocks: [LiveBlock] = []
    private(set) var torn = 0

    private static let addressBits: UInt32 = 47
    private static let sideSlots: UInt64 = 1 << 20
    private static let cellLimit: UInt64 = 0xff_ffff
    private static let largeSize: UInt64 = (1 << 38) - 1
    /// Bytes of slots read at a time.
    private static let pieceBytes = 1 << 20
    /// More blocks than any target has; a hostile map ends here.
    private static let blockLimit = 1 << 27

    init(_ map: RegionLiveMap, memory: any TargetMemory, expecting count: Int) throws(CensusError) {
        guard map.root != 0 else { throw .noLiveMap }
        guard map.unit == 32 || map.unit == 16, (20...32).contains(map.chunkShift), map.root % 8 == 0 else {
            throw .unreadableMap
        }
        self.map = map
        self.memory = memory
        // Room for what is made meanwhile; never more than a hostile count would take.
        let expected = min(max(count, 0), 1 << 26)
        blocks.reserveCapacity(expected + expected / 16 + 64)
    }

    mutating func read() throws(CensusError) {
        let entries = UInt64(1) << UInt64(Self.addressBits - map.chunkShift)
        let (end, isOver) = map.root.addingReportingOverflow(entries * 8)
        guard !isOver, end <= 1 << Self.addressBits else { throw .unreadableMap }
        var chunks: [(number: UInt64, address: UInt64)] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceBytes + 16, alignment: 16)
        defer { buffer.deallocate() }
        let populated = memory.populated(map.root..<end)
        // Where the program has allocated nothing yet, nothing is written there: an empty map, if it can be read.
        var hasRead = false
        if populated.isEmpty { hasRead = try memory.read(map.root, into: .init(rebasing: buffer[..<8])) == 8 }
        for range in populated {
            try forEachPiece(of: range, lookahead: 0, buffer) { start, bytes in
                hasRead = true
                for offset in stride(from: 0, to: bytes.count & ~7, by: 8) {
                    let chunk = bytes.word(offset)
                    if chunk != 0 { chunks.append(((start &+ UInt64(offset) &- map.root) / 8, chunk)) }
                }
            }
        }
        guard hasRead else { throw .unreadableMap }
        for chunk in chunks { try readChunk(chunk.number, at: chunk.address, buffer) }
        if map.side != 0 { try readSide(buffer) }
    }

    /// The table beside the map, of blocks of at most 8 bytes: where the allocator is not glibc's two of them may begin in
    /// one unit.
    private mutating func readSide(_ buffer: UnsafeMutableRawBufferPointer) throws(CensusError) {
        let (end, isOver) = map.side.addingReportingOverflow(Self.sideSlots * 16)
        guard !isOver, end <= 1 << Self.addressBits, map.side % 16 == 0 else { throw .unreadableMap }
        var found: [LiveBlock] = []
        var lost = 0
        for range in memory.populated(map.side..<end) {
            try forEachPiece(of: range, lookahead: 0, buffer) { _, entries in
                for offset in stride(from: 0, to: entries.count & ~15, by: 16) {
                    let address = entries.word(offset)
                    if address <= 1 { continue }
                    let (size, cell) = (entries.word(offset + 8) & 0xff, entries.word(offset + 8) >> 8)
                    guard address & 7 == 0, address < 1 << Self.addressBits, size <= 8,
                        cell != 0, cell <= Self.cellLimit
                    else {
                        lost += 1
                        continue
                    }
                    found.append(LiveBlock(address: address, size: size, cell: UInt32(cell)))
                }
            }
        }
        torn += lost
        merge(found.sorted { $0.address < $1.address })
    }

    /// Adds blocks by rising address; what lies in another block is torn.
    private mutating func merge(_ others: [LiveBlock]) {
        var added: [LiveBlock] = []
        added.reserveCapacity(min(others.count, Self.blockLimit - blocks.count))
        var next = 0
        for block in others where added.count + blocks.count < Self.blockLimit {
            while next < blocks.count, blocks[next].address <= block.address { next += 1 }
            let isInside =
                next > 0 && block.address - blocks[next - 1].address < max(blocks[next - 1].size, 1)
            if isInside || added.last?.address == block.address { continue }
            added.append(block)
        }
        torn += others.count - added.count
        // From the end, so that each block moves once.
        var (from, to) = (blocks.count - 1, blocks.count + added.count - 1)
        blocks += added
        for block in added.reversed() {
            while from >= 0, blocks[from].address > block.address {
                blocks[to] = blocks[from]
                (from, to) = (from - 1, to - 1)
            }
            blocks[to] = block
            to -= 1
        }
    }

    private mutating func readChunk(
        _ number: UInt64, at address: UInt64, _ buffer: UnsafeMutableRawBufferPointer
    ) throws(CensusError) {
        let unit = UInt64(map.unit)
        let bytes = (UInt64(1) << UInt64(map.chunkShift)) / unit * 4
        guard address % 4 == 0, address < 1 << Self.addressBits else {
            torn += 1
            return
        }
        let base = number << UInt64(map.chunkShift)
        var found = blocks
        blocks = []
        var lost = 0
        // The block before ends here: no block begins earlier.
        var free = base
        defer {
            blocks = found
            torn += lost
        }
        for range in memory.populated(address..<address + bytes) {
            // Slots that belong to the block before, and so name none.
            var skip = 0
            // 12 bytes: an entry takes at most four slots.
            try forEachPiece(of: range, lookahead: 12, buffer) { start, slots in
                let count = min(slots.count, Self.pieceBytes) / 4
                var slot = skip
                skip = 0
                while slot < count {
                    let low = slots.loadUnaligned(fromByteOffset: slot * 4, as: UInt32.self)
                    if low == 0 {
                        slot += 1
                        continue
                    }
                    let place = (start &- address) / 4 &+ UInt64(slot)
                    let entry = Self.decode(low, slots, slot)
                    let at = base &+ place &* unit &+ (low & 2 != 0 ? unit / 2 : 0)
                    guard entry.cell != 0, at >= free, entry.size < 1 << 47, found.count < Self.blockLimit,
                        low & 1 == 0 || entry.size >= 64
                    else {
                        lost += 1
                        slot += 1
                        continue
                    }
                    found.append(LiveBlock(address: at, size: entry.size, cell: entry.cell))
                    free = at &+ max(entry.size, 1)
                    slot += entry.slots
                }
                skip = slot - count
            }
        }
    }

    private static func decode(
        _ low: UInt32, _ slots: UnsafeRawBufferPointer, _ slot: Int
    ) -> (cell: UInt32, size: UInt64, slots: Int) {
        if low & 1 == 0 { return (low >> 8, UInt64(low >> 2 & 63), 1) }
        let word = slots.word(slot * 4)
        let cell = UInt32(truncatingIfNeeded: word >> 2) & 0xff_ffff
        let size = word >> 26
        if size == largeSize { return (cell, slots.word(slot * 4 + 8), 4) }
        return (cell, size, 2)
    }

    /// Calls with the bytes of a range, a piece at a time, and up to `lookahead` bytes of the next.
    private func forEachPiece(
        of range: Range<UInt64>, lookahead: UInt64, _ buffer: UnsafeMutableRawBufferPointer,
        _ body: (UInt64, UnsafeRawBufferPointer) -> Void
    ) throws(CensusError) {
        var start = range.lowerBound
        while start < range.upperBound {
            let wanted = min(range.upperBound - start, UInt64(Self.pieceBytes) + lookahead)
            let got = try memory.read(
                start, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(wanted)]))
            if got > 0 { body(start, UnsafeRawBufferPointer(rebasing: buffer[..<got])) }
            // An unreadable page is passed over.
            let step = got == Int(wanted) ? UInt64(Self.pieceBytes) : UInt64(got / 4096 + 1) * 4096
            start &+= min(step, range.upperBound - start)
        }
    }
}
