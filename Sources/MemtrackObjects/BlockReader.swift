// SPDX-License-Identifier: Apache-2.0

/// Reads the contents of many blocks with few calls: neighbours come in one piece.
struct BlockReader {
    private let memory: any TargetMemory
    private let buffer: UnsafeMutableRawBufferPointer
    private var window: [Part] = []
    /// Bytes that could not be read; their blocks look as if full of zeros.
    private(set) var unreadableBytes: UInt64 = 0

    private struct Part {
        var place: Int
        var offset: Int
        var count: Int
    }

    private static let capacity = 1 << 20
    /// What lies between two blocks is read along with them up to here: a call costs more.
    private static let gap: UInt64 = 4096

    init(memory: any TargetMemory) {
        self.memory = memory
        buffer = .allocate(byteCount: Self.capacity, alignment: 16)
    }

    func close() { buffer.deallocate() }

    /// Calls with the beginning of each block.
    ///
    /// - Parameters:
    ///   - places: those of the blocks to read, rising.
    ///   - limit: bytes wanted of a block at most.
    @inline(__always)
    mutating func forEach(
        _ blocks: UnsafeMutableBufferPointer<LiveBlock>, at places: some Sequence<Int>, limit: Int,
        _ body: (Int, UnsafeRawBufferPointer) -> Void
    ) throws(CensusError) {
        window.removeAll(keepingCapacity: true)
        var start: UInt64 = 0
        var end: UInt64 = 0
        for place in places {
            let wanted = min(Int(clamping: blocks[place].size), limit, Self.capacity)
            if wanted <= 0 { continue }
            let address = blocks[place].address
            let last = address &+ UInt64(wanted)
            if !window.isEmpty, address &- end > Self.gap || last &- start > UInt64(Self.capacity) {
                try fill(start, count: Int(end &- start))
                deliver(body)
            }
            if window.isEmpty { start = address }
            window.append(Part(place: place, offset: Int(address &- start), count: wanted))
            end = last
        }
        if window.isEmpty { return }
        try fill(start, count: Int(end &- start))
        deliver(body)
    }

    /// The contents of a block from an offset on, as far as they fit; valid until something else is read.
    mutating func part(
        of block: LiveBlock, from offset: UInt64
    ) throws(CensusError) -> UnsafeRawBufferPointer {
        guard offset < block.size else { return UnsafeRawBufferPointer(rebasing: buffer[..<0]) }
        let count = min(Int(clamping: block.size - offset), Self.capacity)
        try fill(block.address &+ offset, count: count)
        return UnsafeRawBufferPointer(rebasing: buffer[..<count])
    }

    @inline(__always)
    private mutating func deliver(_ body: (Int, UnsafeRawBufferPointer) -> Void) {
        for part in window {
            body(part.place, UnsafeRawBufferPointer(rebasing: buffer[part.offset..<part.offset + part.count]))
        }
        window.removeAll(keepingCapacity: true)
    }

    /// Reads into the buffer; pages that cannot be read become zeros.
    private mutating func fill(_ start: UInt64, count: Int) throws(CensusError) {
        var done = 0
        while done < count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count])
            let got = min(try memory.read(start &+ UInt64(done), into: rest), rest.count)
            done += got
            guard done < count else { return }
            let toNextPage = 4096 - Int((start &+ UInt64(done)) & 4095)
            let hole = min(toNextPage, count - done)
            UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + hole]).initializeMemory(
                as: UInt8.self, repeating: 0)
            unreadableBytes &+= UInt64(hole)
            done += hole
        }
    }
}
