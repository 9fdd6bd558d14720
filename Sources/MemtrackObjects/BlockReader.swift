// SPDX-License-Identifier: Apache-2.0

/// Reads the contents of many blocks with few calls: neighbours come in one piece.
struct BlockReader {
    private let memory: any TargetMemory
    private let buffer: UnsafeMutableRawBufferPointer
    /// Bytes that could not be read; their blocks look as if full of zeros.
    private(set) var unreadableBytes: UInt64 = 0

    private static let capacity = 1 << 20
    /// What lies between two blocks is read along with them up to here: a call costs more.
    private static let gap: UInt64 = 4096

    init(memory: any TargetMemory) {
        self.memory = memory
        buffer = .allocate(byteCount: Self.capacity, alignment: 16)
    }

    func close() { buffer.deallocate() }

    /// Calls with the beginning of each block, at most `limit` bytes of it; of `nil`, nothing is read.
    ///
    /// - Parameters:
    ///   - places: those of the blocks to read, rising.
    ///   - limit: bytes wanted of the block at a place; asked in order.
    mutating func forEach(
        _ blocks: UnsafeBufferPointer<LiveBlock>, at places: some Sequence<Int>, limit: (Int) -> Int,
        _ body: (Int, UnsafeRawBufferPointer) throws(CensusError) -> Void
    ) throws(CensusError) {
        var window: [(place: Int, offset: Int, count: Int)] = []
        var start: UInt64 = 0
        var end: UInt64 = 0
        for place in places {
            let wanted = min(Int(clamping: blocks[place].size), limit(place), Self.capacity)
            if wanted <= 0 { continue }
            let address = blocks[place].address
            let last = address &+ UInt64(wanted)
            if !window.isEmpty, address &- end > Self.gap || last &- start > UInt64(Self.capacity) {
                try deliver(&window, start, end, body)
            }
            if window.isEmpty { start = address }
            window.append((place, Int(address &- start), wanted))
            end = last
        }
        try deliver(&window, start, end, body)
    }

    private mutating func deliver(
        _ window: inout [(place: Int, offset: Int, count: Int)], _ start: UInt64, _ end: UInt64,
        _ body: (Int, UnsafeRawBufferPointer) throws(CensusError) -> Void
    ) throws(CensusError) {
        guard !window.isEmpty else { return }
        try fill(start, count: Int(end &- start))
        for item in window {
            try body(
                item.place, UnsafeRawBufferPointer(rebasing: buffer[item.offset..<item.offset + item.count]))
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
