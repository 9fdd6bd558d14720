// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// Says what each live block of a process is, from outside and while the process goes on.
///
/// The live map gives the blocks. Then their contents are read once, as far as they are needed: the first words tell the
/// objects among them, and the words of objects tell which of the other blocks are theirs; what is owned is read for what
/// it owns in its turn. Costs about 36 bytes of memory a block. A block that changes hands between the steps may be
/// taken for what it was or what it became, or for none: the caller knows how many were allocated and freed meanwhile,
/// and so how many these can be.
public struct Census {
    private let map: RegionLiveMap
    private let memory: any TargetMemory
    private let modules: ModuleMap

    /// Of a block so much is read before it is known whether it is an object; what lies close together is read as one
    /// piece anyway.
    private static let headBytes = 1024
    /// Of a large object so much is searched for pointers.
    private static let scanLimit = 1 << 20

    public init(_ map: RegionLiveMap, memory: any TargetMemory, modules: ModuleMap) {
        self.map = map
        self.memory = memory
        self.modules = modules
    }

    /// - Parameter count: live blocks as counted, for the memory to set aside.
    public func run(expecting count: Int) throws(CensusError) -> CensusResult {
        var live = try LiveMap(map, memory: memory, expecting: count)
        try live.read()
        let torn = live.torn
        var blocks = live.blocks
        live = try LiveMap(map, memory: memory, expecting: 0)
        var reader = BlockReader(memory: memory)
        defer { reader.close() }
        var result = try blocks.withUnsafeMutableBufferPointer { (blocks) throws(CensusError) in
            try look(at: blocks, &reader)
        }
        result.reading.tornEntries = torn
        result.reading.unreadableBytes = reader.unreadableBytes
        return result
    }

    private func look(
        at blocks: UnsafeMutableBufferPointer<LiveBlock>, _ reader: inout BlockReader
    ) throws(CensusError) -> CensusResult {
        let index = BlockIndex(UnsafeBufferPointer(blocks), grain: Int(map.unit) / 2)
        let ownership = Ownership(blocks, index: index)
        let words = WordCache(memory: memory)
        var recogniser = Recogniser(words: words, modules: modules, blocks: blocks, index: index)
        var large: [Int] = []
        var arrays = CxxArrays()
        try reader.forEach(blocks, at: blocks.indices, limit: Self.headBytes) { place, bytes in
            let size = blocks[place].size
            var isCounted = false
            var type = recogniser.type(bytes, size: size)
            if type == 0 {
                type = arrays.counted(place, blocks[place], bytes) { recogniser.cxxType($0) }
                if type == 0 { return }
                isCounted = true
            }
            blocks[place].type = type
            ownership.addObject(place)
            if size <= UInt64(Self.headBytes) {
                let layout = recogniser.types.layouts[Int(type)]
                ownership.follow(bytes, of: place, layout)
                if layout.isCxx, !isCounted { arrays.count(place, blocks[place], bytes) }
            } else {
                large.append(place)
            }
        }
        if let failure = words.failure { throw failure }
        let layouts = recogniser.types.layouts
        let counted = try arrays.settle(blocks, &reader)
        for place in counted { ownership.addObject(place) }
        try reader.forEach(blocks, at: counted, limit: Self.scanLimit) { place, bytes in
            ownership.follow(bytes, of: place, layouts[Int(blocks[place].type)])
        }
        try reader.forEach(blocks, at: large, limit: Self.scanLimit) { place, bytes in
            let layout = layouts[Int(blocks[place].type)]
            ownership.follow(bytes, of: place, layout)
            if layout.isCxx { arrays.count(place, blocks[place], bytes) }
        }
        try arrays.finish(blocks, &reader)
        if !recogniser.types.keys.isEmpty { try ownership.finish(&reader) }
        var tally = Tally(recogniser.types, tracked: recogniser.tracked)
        tally.add(blocks, ownership, further: arrays.further)
        return tally.finished()
    }
}

/// Asks the runtimes in turn what a block is.
private struct Recogniser {
    private(set) var types = TypeList()
    /// Objects that the garbage collector knows, by number of type.
    private(set) var tracked: [Int] = []
    private var python: PythonTypes?
    private var swift: SwiftTypes?
    private var cxx: CxxTypes
    private let index: BlockIndex

    init(
        words: WordCache, modules: ModuleMap, blocks: UnsafeMutableBufferPointer<LiveBlock>, index: BlockIndex
    ) {
        python = PythonTypes(words: words, modules: modules, blocks: blocks, index: index)
        swift = SwiftTypes(words: words, modules: modules)
        cxx = CxxTypes(words: words, modules: modules)
        self.index = index
    }

    /// The number of the type; 0 for none.
    @inline(__always)
    mutating func type(_ bytes: UnsafeRawBufferPointer, size: UInt64) -> UInt32 {
        guard size >= 8 else { return 0 }
        if let object = python?.object(bytes, size: size, types: &types) {
            if object.isTracked { addTracked(Int(object.type)) }
            return object.type
        }
        let first = bytes.word(0)
        guard first != 0 else { return 0 }
        if let type = swift?.type(of: first, types: &types, index: index), type != 0 { return type }
        return cxx.type(of: first, types: &types)
    }

    /// The number of the class that a vtable is of; 0 where an address is none.
    @inline(__always)
    mutating func cxxType(_ vtable: UInt64) -> UInt32 { cxx.type(of: vtable, types: &types) }

    @inline(__always)
    private mutating func addTracked(_ type: Int) {
        if type >= tracked.count {
            tracked += [Int](repeating: 0, count: type + 64 - tracked.count)
        }
        tracked[type] += 1
    }
}
