// SPDX-License-Identifier: Apache-2.0

/// From an address to the block that begins there: for each page of the heap the first block in it, so that a look-up
/// is a search among the few dozen blocks of a page. Costs 4 bytes a page of heap.
struct BlockIndex {
    private struct Chunk {
        /// Of the page, the place of the first block at or after its start; one entry more than pages.
        var first: [UInt32]
    }

    private static let chunkShift: UInt64 = 26
    private static let pageShift: UInt64 = 12
    private static let pages = 1 << Int(chunkShift - pageShift)

    private let blocks: [LiveBlock]
    private var chunks: [Chunk] = []
    private var places: [UInt64: Int] = [:]
    private var lastNumber = UInt64.max
    private var lastPlace = -1
    let lowest: UInt64
    /// First address after the last block.
    let end: UInt64

    /// - Parameter blocks: by rising address.
    init(_ blocks: [LiveBlock]) {
        self.blocks = blocks
        lowest = blocks.first?.address ?? 0
        end = (blocks.last?.address ?? 0) &+ max(blocks.last?.size ?? 0, 1)
        var next = 0
        while next < blocks.count {
            let number = blocks[next].address >> Self.chunkShift
            var first = [UInt32](repeating: 0, count: Self.pages + 1)
            for page in 0..<Self.pages {
                first[page] = UInt32(next)
                let limit = (number << Self.chunkShift) &+ UInt64(page + 1) << Self.pageShift
                while next < blocks.count, blocks[next].address < limit { next += 1 }
            }
            first[Self.pages] = UInt32(next)
            places[number] = chunks.count
            chunks.append(Chunk(first: first))
        }
    }

    /// The place of the block that begins at an address.
    @inline(__always)
    mutating func block(startingAt address: UInt64) -> Int? {
        guard let place = last(upTo: address) else { return nil }
        return blocks[place].address == address ? place : nil
    }

    /// The place of the block that an address lies in, if it lies in the page in which the block begins.
    @inline(__always)
    mutating func block(around address: UInt64) -> Int? {
        guard let place = last(upTo: address) else { return nil }
        return address &- blocks[place].address < blocks[place].size ? place : nil
    }

    /// The last block in the page of an address that begins at or before it.
    @inline(__always)
    private mutating func last(upTo address: UInt64) -> Int? {
        guard address >= lowest, address < end else { return nil }
        let number = address >> Self.chunkShift
        if number != lastNumber {
            lastNumber = number
            lastPlace = places[number] ?? -1
        }
        guard lastPlace >= 0 else { return nil }
        let page = Int(address >> Self.pageShift) & (Self.pages - 1)
        return chunks[lastPlace].first.withUnsafeBufferPointer { first -> Int? in
            let start = Int(first[page])
            var low = start
            var high = Int(first[page + 1])
            return blocks.withUnsafeBufferPointer { blocks -> Int? in
                while low < high {
                    let middle = (low &+ high) / 2
                    if blocks[middle].address <= address { low = middle + 1 } else { high = middle }
                }
                return low > start ? low - 1 : nil
            }
        }
    }
}
