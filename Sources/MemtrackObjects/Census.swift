// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// Says what each live block of a process is, from outside and while the process goes on.
///
/// Three passes: the live map gives the blocks; their first words tell the objects among them; the contents of the
/// objects tell which of the other blocks are theirs. Costs about 32 bytes of memory a block. A block that changes
/// hands between the passes may be taken for what it was or what it became, or for none: the caller knows how many
/// were allocated and freed meanwhile, and so how many these can be.
public struct Census {
    private let map: RegionLiveMap
    private let memory: any TargetMemory
    private let modules: ModuleMap

    /// A block's first words up to the type pointer of an object with the longest prefix.
    private static let headBytes = 48
    /// Rows by place of one type that are kept.
    private static let cellsKept = 64

    public init(_ map: RegionLiveMap, memory: any TargetMemory, modules: ModuleMap) {
        self.map = map
        self.memory = memory
        self.modules = modules
    }

    /// - Parameter count: live blocks as counted, for the memory to set aside.
    public func run(expecting count: Int) throws(CensusError) -> CensusResult {
        var live = try LiveMap(map, memory: memory, expecting: count)
        try live.read()
        var blocks = live.blocks
        let torn = live.torn
        live = try LiveMap(map, memory: memory, expecting: 0)
        var index = BlockIndex(blocks)
        var reader = BlockReader(memory: memory)
        defer { reader.close() }
        var tally = Tally()
        let typed = try recognise(blocks, &index, &reader, &tally)
        index = BlockIndex([])
        for (place, type) in typed.enumerated() { blocks[place].type = type }
        index = BlockIndex(blocks)
        var ownership = Ownership(count: blocks.count, listsAllBlocks: map.unit == 32)
        if tally.hasObjects {
            try blocks.withUnsafeBufferPointer { (blocks) throws(CensusError) in
                try ownership.find(
                    blocks, bonds: tally.bonds, fields: tally.fields, index: &index, reader: &reader)
            }
        }
        var result = tally.result(blocks, ownership)
        result.torn = torn
        result.unreadableBytes = reader.unreadableBytes
        return result
    }

    /// The type of each block.
    private func recognise(
        _ blocks: [LiveBlock], _ index: inout BlockIndex, _ reader: inout BlockReader, _ tally: inout Tally
    ) throws(CensusError) -> [UInt32] {
        let words = WordCache(memory: memory)
        var python = PythonTypes(words: words, modules: modules)
        var swift = SwiftTypes(words: words, modules: modules)
        var cxx = CxxTypes(words: words, modules: modules)
        var typed = [UInt32](repeating: 0, count: blocks.count)
        try blocks.withUnsafeBufferPointer { (blocks) throws(CensusError) in
            try reader.forEach(
                blocks, at: blocks.indices, limit: { _ in Self.headBytes },
                { (place, bytes) throws(CensusError) in
                    let size = blocks[place].size
                    guard size >= 8 else { return }
                    if let object = python?.object(
                        bytes, size: size, types: &tally.types,
                        isBlock: { index.block(startingAt: $0) != nil })
                    {
                        typed[place] = object.type
                        tally.addTracked(object)
                        return
                    }
                    let first = bytes.word(0)
                    guard first != 0 else { return }
                    if let type = swift?.type(
                        of: first, types: &tally.types, isBlock: { index.block(startingAt: $0) != nil })
                    {
                        typed[place] = type
                    } else if let type = cxx.type(of: first, types: &tally.types) {
                        typed[place] = type
                    }
                })
        }
        if let failure = words.failure { throw failure }
        return typed
    }
}

/// Adds objects up by type and by cell.
private struct Tally {
    var types = TypeList()
    private var tracked: [UInt32: Int] = [:]

    private struct Sum {
        var count = 0
        var bytes: UInt64 = 0
    }

    /// By number of type; 0 is none.
    var bonds: [Ownership.Bond] {
        [.none]
            + types.keys.map { key in
                guard key.runtime == .python else { return .start }
                return Self.pointless.contains(key.name) ? .none : .inside
            }
    }

    /// Offsets of `ob_item`, with `allocated`, and of `table` behind a collector's head of 16 bytes, the same in all
    /// versions.
    var fields: [Ownership.Field?] {
        [nil]
            + types.keys.map { key in
                guard key.runtime == .python else { return nil }
                switch key.name {
                case "list": return Ownership.Field(offset: 40, room: 48)
                case "set", "frozenset": return Ownership.Field(offset: 56)
                default: return nil
                }
            }
    }

    /// CPython's types that hold text and numbers: what looks like a pointer in them is none.
    private static let pointless: Set<String> = ["str", "bytes", "int", "float", "bool", "complex"]

    var hasObjects: Bool { !types.keys.isEmpty }

    mutating func addTracked(_ object: PythonTypes.Object) {
        if object.isTracked { tracked[object.type, default: 0] += 1 }
    }

    func result(_ blocks: [LiveBlock], _ ownership: Ownership) -> CensusResult {
        var result = CensusResult()
        result.types = types.keys.map { CensusType(runtime: $0.runtime, name: $0.name) }
        var sums: [UInt64: Sum] = [:]
        for (place, block) in blocks.enumerated() {
            result.blocks += 1
            result.bytes &+= block.size
            if block.type != 0 {
                let type = Int(block.type) - 1
                result.types[type].count += 1
                result.types[type].bytes &+= block.size
            } else if let owner = ownership.owner(of: place) {
                let type = Int(blocks[owner].type) - 1
                result.types[type].ownedBlocks += 1
                result.types[type].ownedBytes &+= block.size
                continue
            }
            let key = UInt64(block.type) << 32 | UInt64(block.cell)
            sums[key, default: Sum()].count += 1
            sums[key, default: Sum()].bytes &+= block.size
        }
        for (number, count) in ownership.unlisted {
            let bytes = UInt64(count) * 8
            result.types[number - 1].ownedBlocks += count
            result.types[number - 1].ownedBytes &+= bytes
            result.blocks += count
            result.bytes &+= bytes
        }
        for (number, count) in tracked { result.types[Int(number) - 1].trackedCount = count }
        for (key, sum) in sums {
            let share = CellShare(cell: UInt32(truncatingIfNeeded: key), count: sum.count, bytes: sum.bytes)
            let type = Int(key >> 32)
            if type == 0 { result.untyped.append(share) } else { result.types[type - 1].cells.append(share) }
        }
        for place in result.types.indices { result.types[place].cells.sort(by: Self.precedes) }
        result.untyped.sort(by: Self.precedes)
        result.types.removeAll { $0.count == 0 }
        return result
    }

    private static func precedes(_ left: CellShare, _ right: CellShare) -> Bool {
        left.bytes != right.bytes ? left.bytes > right.bytes : left.cell < right.cell
    }
}
