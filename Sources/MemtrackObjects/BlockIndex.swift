// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// From an address to the block that begins there, or that it lies in: of each page in which a block begins, one bit for
/// each place where one may, and the places of the blocks before each word of them. A look-up is three loads.
///
/// Costs 48 bytes for a page of 4 KiB in which blocks begin (96 where they may begin at every eighth byte).
final class BlockIndex {
    private typealias Chunk = UnsafeMutablePointer<UInt32>

    private static let chunkShift: UInt64 = 26
    private static let pageShift: UInt64 = 12
    private static let pagesInChunk = 1 << Int(chunkShift - pageShift)
    /// User addresses have 47 bits.
    private static let chunks = 1 << Int(47 - chunkShift)

    /// By chunk: of each of its pages the record's number, 0 for none. Memory that is never touched costs nothing.
    private let roots: UnsafeMutablePointer<Chunk?>
    /// Records: the words of bits, then as many places of 4 bytes.
    private let records: UnsafeMutablePointer<UInt64>
    private var used: [Chunk] = []
    private let grainShift: UInt64
    private let wordsInPage: Int
    private let stride: Int
    let lowest: UInt64
    /// Bytes from `lowest` to the first address after the last block.
    let span: UInt64

    /// - Parameters:
    ///   - blocks: by rising address, all below 2^47.
    ///   - grain: blocks begin at multiples of this: 8 or 16.
    init(_ blocks: UnsafeBufferPointer<LiveBlock>, grain: Int) {
        grainShift = grain >= 16 ? 4 : 3
        wordsInPage = 4096 >> Int(grainShift) / 64
        stride = wordsInPage + wordsInPage / 2
        lowest = blocks.first?.address ?? 0
        let last = blocks.last.map { min($0.address &+ max($0.size, 1), 1 << 47) } ?? 0
        span = last &- lowest
        roots = Self.zeros(Self.chunks)
        var pages = 0
        var page = UInt64.max
        for block in blocks where block.address >> Self.pageShift != page {
            page = block.address >> Self.pageShift
            pages += 1
        }
        records = Self.zeros((pages + 1) * stride)
        fill(blocks)
    }

    deinit {
        for chunk in used { free(chunk) }
        free(roots)
        free(records)
    }

    private static func zeros<Value>(_ count: Int) -> UnsafeMutablePointer<Value> {
        guard let memory = calloc(count, MemoryLayout<Value>.stride) else { fatalError("out of memory") }
        return memory.bindMemory(to: Value.self, capacity: count)
    }

    private func fill(_ blocks: UnsafeBufferPointer<LiveBlock>) {
        var record = 0
        var last = UInt64.max
        for place in blocks.indices {
            let address = blocks[place].address
            let page = address >> Self.pageShift
            if page != last {
                if record > 0 { close(record, next: place) }
                record += 1
                last = page
                let number = Int(address >> Self.chunkShift)
                let chunk = roots[number] ?? makeChunk(number)
                chunk[Int(page) & (Self.pagesInChunk - 1)] = UInt32(record)
            }
            let bit = Int(address & 4095) >> Int(grainShift)
            let bits = records + record * stride
            if bits[bit / 64] == 0 { places(record)[bit / 64] = UInt32(place) }
            bits[bit / 64] |= 1 << UInt64(bit & 63)
        }
        if record > 0 { close(record, next: blocks.count) }
    }

    private func makeChunk(_ number: Int) -> Chunk {
        let chunk: Chunk = Self.zeros(Self.pagesInChunk)
        roots[number] = chunk
        used.append(chunk)
        return chunk
    }

    /// Words without a block get the place of the next block.
    private func close(_ record: Int, next: Int) {
        var next = UInt32(next)
        for word in (0..<wordsInPage).reversed() {
            if records[record * stride + word] == 0 { places(record)[word] = next }
            next = places(record)[word]
        }
    }

    @inline(__always)
    private func places(_ record: Int) -> UnsafeMutablePointer<UInt32> {
        UnsafeMutableRawPointer(records + record * stride + wordsInPage)
            .assumingMemoryBound(to: UInt32.self)
    }

    @inline(__always)
    private func record(_ address: UInt64) -> Int {
        guard address &- lowest < span, let chunk = roots[Int(address >> Self.chunkShift)] else { return 0 }
        return Int(chunk[Int(address >> Self.pageShift) & (Self.pagesInChunk - 1)])
    }

    /// The place of the block that begins at an address; -1 for none.
    @inline(__always)
    func block(startingAt address: UInt64) -> Int {
        let record = record(address)
        guard record != 0, address & (1 << grainShift - 1) == 0 else { return -1 }
        let bit = Int(address & 4095) >> Int(grainShift)
        let bits = records[record * stride + bit / 64]
        let mask: UInt64 = 1 << UInt64(bit & 63)
        guard bits & mask != 0 else { return -1 }
        return Int(places(record)[bit / 64]) + (bits & (mask &- 1)).nonzeroBitCount
    }

    /// The place of the last block that begins at or before an address, in the same page; -1 for none.
    @inline(__always)
    func block(before address: UInt64) -> Int {
        let record = record(address)
        guard record != 0 else { return -1 }
        let bit = Int(address & 4095) >> Int(grainShift)
        let mask: UInt64 = ~0 >> UInt64(63 - bit & 63)
        let bits = records[record * stride + bit / 64] & mask
        let places = places(record)
        let place = Int(places[bit / 64]) + bits.nonzeroBitCount - 1
        return place >= Int(places[0]) ? place : -1
    }

    @inline(__always)
    func isStart(_ address: UInt64) -> Bool { block(startingAt: address) >= 0 }
}
