// SPDX-License-Identifier: Apache-2.0

/// Adds blocks up by type and by cell.
struct Tally {
    private struct Sum {
        var type: UInt32
        var cell: UInt32
        var count = 0
        var bytes: UInt64 = 0
    }

    private var result = CensusResult()
    private var table = WordTable()
    private var sums: [Sum] = []

    /// - Parameters:
    ///   - types: every number that a block has.
    ///   - tracked: objects that the collector knows, by number of type.
    init(_ types: TypeList, tracked: [Int]) {
        result.reading.processes = 1
        result.types = types.keys.map { CensusType(runtime: $0.runtime, name: $0.name) }
        for place in result.types.indices where place + 1 < tracked.count {
            result.types[place].sum.trackedCount = tracked[place + 1]
        }
    }

    /// - Parameter further: by `LiveBlock.key`, objects beyond the first of each block.
    mutating func add(
        _ blocks: UnsafeMutableBufferPointer<LiveBlock>, _ ownership: Ownership?, further: [UInt64: Int]
    ) {
        result.reading.blocks += blocks.count
        for (place, block) in blocks.enumerated() {
            result.reading.bytes &+= block.size
            if block.type == 0, let owner = ownership?.owner(of: place), owner >= 0 {
                let type = Int(blocks[owner].type) - 1
                result.types[type].sum.ownedBlocks += 1
                result.types[type].sum.ownedBytes &+= block.size
                continue
            }
            let sum = table.value(block.key).map(Int.init) ?? newSum(block)
            sums[sum].count += 1
            sums[sum].bytes &+= block.size
        }
        for (key, count) in further {
            if let sum = table.value(key) { sums[Int(sum)].count &+= count }
        }
    }

    private mutating func newSum(_ block: LiveBlock) -> Int {
        table.insert(block.key, UInt32(sums.count))
        sums.append(Sum(type: block.type, cell: block.cell))
        return sums.count - 1
    }

    /// Of everything added; types without an object are left out.
    func finished() -> CensusResult {
        var result = result
        for sum in sums {
            let share = CellShare(cell: sum.cell, count: sum.count, bytes: sum.bytes)
            if sum.type == 0 {
                result.untyped.append(share)
            } else {
                let type = Int(sum.type) - 1
                result.types[type].sum.count += sum.count
                result.types[type].sum.bytes &+= sum.bytes
                result.types[type].cells.append(share)
            }
        }
        for place in result.types.indices { result.types[place].cells.sort(by: Self.precedes) }
        result.untyped.sort(by: Self.precedes)
        result.types.removeAll { $0.sum.count == 0 }
        return result
    }

    private static func precedes(_ left: CellShare, _ right: CellShare) -> Bool {
        left.bytes != right.bytes ? left.bytes > right.bytes : left.cell < right.cell
    }
}
