// SPDX-License-Identifier: Apache-2.0
import MemtrackRegion
import Testing

@testable import MemtrackObjects

/// An address space made of a few arrays.
private struct FakeMemory: TargetMemory {
    var parts: [UInt64: [UInt8]] = [:]
    /// Parts that can be read and that nobody has written to.
    var unwritten: Set<UInt64> = []
    var failure: CensusError?

    func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CensusError) -> Int {
        if let failure { throw failure }
        for (start, bytes) in parts where address >= start && address < start + UInt64(bytes.count) {
            let count = min(buffer.count, bytes.count - Int(address - start))
            bytes[Int(address - start)...].prefix(count).withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(count)))
            }
            return count
        }
        return 0
    }

    func populated(_ range: Range<UInt64>) -> [Range<UInt64>] {
        parts.filter { !unwritten.contains($0.key) }.map { $0.key..<$0.key + UInt64($0.value.count) }.sorted {
            $0.lowerBound < $1.lowerBound
        }
        .map { $0.clamped(to: range) }.filter { !$0.isEmpty }
    }

    mutating func put(_ word: UInt64, at address: UInt64) {
        for (start, bytes) in parts where address >= start && address + 8 <= start + UInt64(bytes.count) {
            for place in 0..<8 {
                parts[start]?[Int(address - start) + place] = UInt8(
                    truncatingIfNeeded: word >> UInt64(place * 8))
            }
        }
    }
}

/// A heap of one chunk at `heap`, its slots at `slots`, and the root at `root`.
private struct FakeHeap {
    static let root: UInt64 = 0x1000_0000
    static let slots: UInt64 = 0x2000_0000
    static let heap: UInt64 = 0x4000_0000
    static let module: UInt64 = 0x7000_0000
    var memory = FakeMemory()

    init() {
        memory.parts[Self.root] = [UInt8](repeating: 0, count: 8192)
        memory.parts[Self.slots] = [UInt8](repeating: 0, count: 65536)
        memory.parts[Self.heap] = [UInt8](repeating: 0, count: 65536)
        memory.parts[Self.module] = [UInt8](repeating: 0, count: 8192)
        memory.put(Self.slots, at: Self.root + (Self.heap >> 26) * 8)
    }

    var map: RegionLiveMap { RegionLiveMap(root: Self.root, unit: 32, chunkShift: 26) }

    /// Enters a block as livemap.h says.
    mutating func add(_ offset: UInt64, size: UInt64, cell: UInt64 = 1024) {
        let slot = Self.slots + offset / 32 * 4
        let half = offset / 16 & 1
        if size < 64 {
            let old = word(at: slot) & ~0xffff_ffff
            memory.put(old | cell << 8 | size << 2 | half << 1, at: slot)
        } else {
            memory.put(size << 26 | cell << 2 | half << 1 | 1, at: slot)
        }
    }

    private func word(at address: UInt64) -> UInt64 {
        guard let bytes = memory.parts[Self.slots] else { return 0 }
        return bytes.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: Int(address - Self.slots), as: UInt64.self)
        }
    }

    func census(vtable: @escaping (UInt64) -> String? = { _ in nil }) throws -> CensusResult {
        let modules = ModuleMap(
            ranges: [.init(start: Self.module, end: Self.module + 8192)], pythonType: nil, hasSwift: false,
            vtable: vtable)
        return try Census(map, memory: memory, modules: modules).run(expecting: 10)
    }
}

@Suite struct CensusTests {
    @Test func readsBlocksOfAllForms() throws {
        var heap = FakeHeap()
        heap.add(0x10, size: 24, cell: 1030)
        heap.add(0x40, size: 63)
        heap.add(0x90, size: 5000, cell: 0xff_ffff)
        heap.add(0x2000, size: 0)
        let result = try heap.census()
        #expect(result.reading.blocks == 4)
        #expect(result.reading.bytes == 24 + 63 + 5000)
        #expect(result.reading.tornEntries == 0)
        #expect(result.untyped.first == CellShare(cell: 0xff_ffff, count: 1, bytes: 5000))
    }

    /// A program that has allocated nothing yet has an empty map, none of whose pages was ever written.
    @Test func anEmptyMapHasNoBlocks() throws {
        let root = FakeHeap.root
        let modules = ModuleMap(ranges: [], pythonType: nil, hasSwift: false, vtable: { _ in nil })
        func census(_ memory: FakeMemory) throws -> CensusResult {
            try Census(
                RegionLiveMap(root: root, unit: 32, chunkShift: 26), memory: memory, modules: modules
            ).run(expecting: 0)
        }
        var memory = FakeMemory()
        memory.parts[root] = [UInt8](repeating: 0, count: 4096)
        memory.unwritten = [root]
        #expect(try census(memory).reading.blocks == 0)
        // One that is not there at all is no empty one.
        #expect(throws: CensusError.unreadableMap) { try census(FakeMemory()) }
        memory.failure = .processEnded
        #expect(throws: CensusError.processEnded) { try census(memory) }
    }

    @Test func leavesOutTornEntries() throws {
        var heap = FakeHeap()
        heap.add(0x100, size: 256)
        // Inside the block before; and one without a cell.
        heap.memory.put(9 << 8 | 16 << 2, at: FakeHeap.slots + 0x160 / 32 * 4)
        heap.memory.put(16 << 2, at: FakeHeap.slots + 0x800 / 32 * 4)
        let result = try heap.census()
        #expect(result.reading.blocks == 1)
        #expect(result.reading.tornEntries == 2)
    }

    /// Of an allocator that is not glibc's: blocks that begin 8 bytes apart, in a table beside the map. What the table says
    /// twice, or of the inside of another block, and what is no such block is left out and counted.
    @Test func readsBlocksBesideTheMap() throws {
        let side: UInt64 = 0x3000_0000
        var heap = FakeHeap()
        heap.memory.parts[side] = [UInt8](repeating: 0, count: 8192)
        var entry = side
        func put(_ offset: UInt64, _ block: UInt64) {
            heap.memory.put(offset > 1 ? FakeHeap.heap + offset : offset, at: entry)
            heap.memory.put(block, at: entry + 8)
            entry += 16
        }
        heap.add(0x200, size: 48)  // in units of 16 at 0x100, of 48 bytes
        for (offset, size) in [(0x408, 8), (0x130, 0), (0x400, 7), (0xf8, 8)] as [(UInt64, UInt64)] {
            put(offset, 1040 << 8 | size)
        }
        put(0, 0)
        put(1, 1040 << 8 | 8)  // free again
        let torn: [(UInt64, UInt64)] = [
            (0x400, 1040 << 8 | 7), (0x118, 1040 << 8 | 8), (0x500, 8), (0x510, 1040 << 8 | 9),
            (0x521, 1040 << 8 | 8), (0x1_0000_0000_0000, 1040 << 8 | 8), (0x540, 1 << 40),
        ]
        for (offset, block) in torn { put(offset, block) }
        let map = RegionLiveMap(root: FakeHeap.root, unit: 16, chunkShift: 26, side: side)
        let modules = ModuleMap(ranges: [], pythonType: nil, hasSwift: false, vtable: { _ in nil })
        var live = try LiveMap(map, memory: heap.memory, expecting: 0)
        try live.read()
        #expect(live.blocks.map { $0.address - FakeHeap.heap } == [0xf8, 0x100, 0x130, 0x400, 0x408])
        #expect(live.blocks.map(\.size) == [8, 48, 0, 7, 8])
        #expect(live.torn == torn.count)
        let result = try Census(map, memory: heap.memory, modules: modules).run(expecting: 5)
        #expect(result.reading.blocks == 5)
        #expect(result.untyped.first { $0.cell == 1040 }?.count == 4)
    }

    @Test func whatOneObjectAlonePointsToIsItsOwn() throws {
        var heap = FakeHeap()
        let table = FakeHeap.module + 0x100
        for offset: UInt64 in [0x100, 0x200] {
            heap.add(offset, size: 32)
            heap.memory.put(table, at: FakeHeap.heap + offset)
        }
        heap.add(0x400, size: 128)  // of the first object alone
        heap.add(0x500, size: 100)  // of both
        heap.add(0x600, size: 80)  // of what the first owns
        heap.add(0x700, size: 70)  // of nobody
        heap.memory.put(FakeHeap.heap + 0x400, at: FakeHeap.heap + 0x108)
        heap.memory.put(FakeHeap.heap + 0x500, at: FakeHeap.heap + 0x110)
        heap.memory.put(FakeHeap.heap + 0x500, at: FakeHeap.heap + 0x208)
        heap.memory.put(FakeHeap.heap + 0x600, at: FakeHeap.heap + 0x400)
        let result = try heap.census { $0 == table ? "Thing" : nil }
        let type = try #require(result.types.first)
        #expect(type.name == "Thing" && type.sum.count == 2 && type.sum.bytes == 64)
        #expect(type.sum.ownedBlocks == 2 && type.sum.ownedBytes == 208)
        #expect(result.untyped == [CellShare(cell: 1024, count: 2, bytes: 170)])
    }

    /// A stale pointer in what an object owns must not bring in a structure that other memory holds.
    @Test func whatOtherMemoryHoldsIsGivenBack() throws {
        var heap = FakeHeap()
        let table = FakeHeap.module + 0x100
        heap.add(0x100, size: 32)
        heap.memory.put(table, at: FakeHeap.heap + 0x100)
        for (offset, size) in [(0x200, 64), (0x300, 64), (0x400, 64), (0x500, 64), (0x600, 64)]
            as [(UInt64, UInt64)]
        {
            heap.add(offset, size: size)
        }
        func point(_ from: UInt64, _ to: UInt64) {
            heap.memory.put(FakeHeap.heap + to, at: FakeHeap.heap + from + 8)
        }
        // The object's buffer, a block of its own, and through it a chain that another block holds in the middle.
        point(0x100, 0x200)
        point(0x200, 0x300)
        point(0x300, 0x400)
        point(0x400, 0x500)
        point(0x600, 0x400)
        let type = try #require(try heap.census { $0 == table ? "Thing" : nil }.types.first)
        #expect(type.sum.ownedBlocks == 2 && type.sum.ownedBytes == 128)
    }

    /// A pointer just past the head of an array is one to the block; one into its middle is not.
    @Test func arraysBehindTheirCount() throws {
        var heap = FakeHeap()
        let table = FakeHeap.module + 0x100
        heap.add(0x100, size: 32)
        heap.memory.put(table, at: FakeHeap.heap + 0x100)
        heap.add(0x200, size: 88)
        heap.add(0x300, size: 88)
        heap.memory.put(FakeHeap.heap + 0x208, at: FakeHeap.heap + 0x108)
        heap.memory.put(FakeHeap.heap + 0x318, at: FakeHeap.heap + 0x110)
        let type = try #require(try heap.census { $0 == table ? "Thing" : nil }.types.first)
        #expect(type.sum.ownedBlocks == 1 && type.sum.ownedBytes == 88)
    }

    /// Each element of an array is an object; one more is needed than a number in front, and every one where it is told.
    @Test func arraysAreAsManyObjects() throws {
        var heap = FakeHeap()
        let (table, other) = (FakeHeap.module + 0x100, FakeHeap.module + 0x200)
        func put(_ offset: UInt64, _ size: UInt64, _ words: [UInt64: UInt64]) {
            heap.add(offset, size: size)
            for (place, word) in words { heap.memory.put(word, at: FakeHeap.heap + offset + place) }
        }
        put(0x100, 96, [0: table, 24: table, 48: table])  // 3, and room for one
        put(0x200, 100, [0: table, 24: table])  // 1: no step of an array
        put(0x300, 96, [0: table, 32: other])  // 1 with a member
        put(0x400, 56, [0: 2, 8: table, 32: table])  // 2 behind their count
        put(0x500, 56, [0: 3, 8: table, 24: table])  // none: the third is missing
        put(0x600, 24, [0: 1, 8: table])  // none
        put(0x700, 80, [8: 2, 16: table, 48: table])  // 2, aligned to 16 bytes
        put(0x1000, 8 + 4 * 1200, [0: 4, 8: table, 1208: table, 2408: table, 3608: table])  // 4
        put(0x3000, 8 + 4 * 1200, [0: 4, 8: table, 1208: table, 2408: table])  // none
        put(0x5000, 6000, [0: table, 1500: 0, 3000: table])  // 2
        let types = try heap.census { $0 == table ? "Thing" : nil }.types
        #expect(types.map(\.name) == ["Thing"])
        #expect(types.first?.sum.count == 3 + 1 + 1 + 2 + 2 + 4 + 2)
        #expect(types.first?.sum.bytes == 96 + 100 + 96 + 56 + 80 + 4808 + 6000)
    }

    /// More than what is read before it is known that a block is an object; blocks before it and behind it.
    @Test func largeObjectsAreFollowedToTheirEnd() throws {
        var heap = FakeHeap()
        let table = FakeHeap.module + 0x100
        heap.add(0x100, size: 80)
        heap.add(0x1000, size: 8000)
        heap.add(0x4000, size: 96)
        heap.add(0x5000, size: 32)  // an object, too: nobody's
        for offset: UInt64 in [0x1000, 0x5000] { heap.memory.put(table, at: FakeHeap.heap + offset) }
        for (offset, target) in [(2_000, 0x100), (7_992, 0x4000), (4_000, 0x5000)] as [(UInt64, UInt64)] {
            heap.memory.put(FakeHeap.heap + target, at: FakeHeap.heap + 0x1000 + offset)
        }
        let type = try #require(try heap.census { $0 == table ? "Thing" : nil }.types.first)
        #expect(type.sum.count == 2 && type.sum.bytes == 8032)
        #expect(type.sum.ownedBlocks == 2 && type.sum.ownedBytes == 176)
    }

    /// Words that are no longer pointers, in spare room of objects and of what they own: which object a block belongs to may
    /// change by them, and nothing else; blocks that are pointed to by nothing stale stay with their owners.
    @Test(arguments: 0..<20) func staleWordsMoveNothingButWhatTheyPointTo(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let table = FakeHeap.module + 0x100
        var heap = FakeHeap()
        // 20 objects, each with a buffer and, through that, a second one; 20 blocks of nobody.
        for number: UInt64 in 0..<20 {
            let (object, buffer) = (0x400 + number * 0x200, 0x4000 + number * 0x200)
            let (second, other) = (0x8000 + number * 0x100, 0xb000 + number * 0x100)
            for (offset, size) in [(object, 128), (buffer, 128), (second, 100), (other, 72)]
                as [(UInt64, UInt64)]
            {
                heap.add(offset, size: size)
            }
            heap.memory.put(table, at: FakeHeap.heap + object)
            heap.memory.put(FakeHeap.heap + buffer, at: FakeHeap.heap + object + 8)
            heap.memory.put(FakeHeap.heap + second, at: FakeHeap.heap + buffer)
        }
        let clean = try heap.census { $0 == table ? "Thing" : nil }
        let before = try #require(clean.types.first)
        #expect(before.sum.ownedBlocks == 40 && before.sum.ownedBytes == 20 * 228)
        var touched: Set<UInt64> = []
        for _ in 0..<6 {
            let number = UInt64.random(in: 0..<20, using: &random)
            let from = (Bool.random(using: &random) ? 0x400 : 0x4000) + number * 0x200 + 64
            let bases: [UInt64] = [
                0x4000 + number * 0x200 ^ 0x200, 0x8000 + number * 0x100, 0xb000 + number * 0x100,
            ]
            let to = bases[Int.random(in: 0..<3, using: &random)]
            touched.insert(to)
            heap.memory.put(FakeHeap.heap + to, at: FakeHeap.heap + from)
        }
        let stale = try heap.census { $0 == table ? "Thing" : nil }
        let after = try #require(stale.types.first)
        #expect(
            after.sum.count == before.sum.count && after.sum.bytes == before.sum.bytes
                && stale.types.count == 1)
        #expect(stale.reading.blocks == clean.reading.blocks && stale.reading.bytes == clean.reading.bytes)
        #expect(
            after.sum.bytes + after.sum.ownedBytes + stale.untyped.reduce(0) { $0 + $1.bytes }
                == stale.reading.bytes)
        // Each may gain or lose what it points to, and what follows from that.
        #expect(abs(after.sum.ownedBlocks - before.sum.ownedBlocks) <= 2 * touched.count)
    }

    @Test func memoryThatCannotBeReadIsCounted() throws {
        var heap = FakeHeap()
        heap.memory.parts[FakeHeap.heap] = nil
        heap.add(0x100, size: 32)
        let result = try heap.census()
        #expect(result.reading.blocks == 1 && result.reading.unreadableBytes == 32)
    }

    @Test(arguments: [CensusError.refused(.other), .processEnded]) func refusalsAreErrors(
        error: CensusError
    ) {
        var heap = FakeHeap()
        heap.memory.failure = error
        #expect(throws: error) { _ = try heap.census() }
    }

    /// Whatever the words are, nothing traps.
    @Test func hostileMapsAreNoTrap() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            var heap = FakeHeap()
            for _ in 0..<500 {
                let places: [UInt64] = [FakeHeap.slots, FakeHeap.heap, FakeHeap.module]
                let place = places[Int.random(in: 0..<3, using: &random)]
                let words = [
                    UInt64.random(in: .min ... .max), FakeHeap.heap + 0x100, FakeHeap.module + 0x80,
                    FakeHeap.module + 0x100, UInt64.random(in: 0..<64),
                ]
                heap.memory.put(words[Int.random(in: 0..<5)], at: place + UInt64.random(in: 0..<1000) * 8)
            }
            heap.memory.put(UInt64.random(in: .min ... .max), at: FakeHeap.root + 0x80)
            let modules = ModuleMap(
                ranges: [.init(start: FakeHeap.module, end: FakeHeap.module + 8192)],
                pythonType: FakeHeap.module + 0x80, hasSwift: true,
                vtable: { $0 == FakeHeap.module + 0x100 ? "Thing" : nil })
            _ = try Census(heap.map, memory: heap.memory, modules: modules).run(expecting: .max)
        }
    }
}

private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}

@Suite struct CensusTableTests {
    /// Against a search through all blocks, where blocks begin at every eighth or sixteenth byte, across the bounds of pages
    /// and of chunks.
    @Test(arguments: [8, 16]) func anAddressLeadsToItsBlock(grain: Int) {
        var random = Seeded(state: UInt64(grain))
        var blocks: [LiveBlock] = []
        var address: UInt64 = 0x7fff_0000 &- 4096 * 3
        for number in 0..<3_000 {
            let size = UInt64.random(in: 0...(number % 50 == 0 ? 40_000 : 120), using: &random)
            blocks.append(LiveBlock(address: address, size: size, cell: 1))
            if number == 1_500 { address = 0x7fff_ffff_f000 &- 4096 * 2_000 }
            let step = max(size, 1) + UInt64.random(in: 0..<64, using: &random)
            address = (address + step + UInt64(grain) - 1) / UInt64(grain) * UInt64(grain)
        }
        let index = blocks.withUnsafeBufferPointer { BlockIndex($0, grain: grain) }
        func expect(_ address: UInt64) {
            let start = blocks.firstIndex { $0.address == address } ?? -1
            let before = blocks.lastIndex { $0.address <= address && $0.address >> 12 == address >> 12 } ?? -1
            #expect(index.block(startingAt: address) == start)
            let end = blocks[blocks.count - 1].address + max(blocks[blocks.count - 1].size, 1)
            #expect(index.block(before: address) == (address < end ? before : -1))
        }
        for block in blocks.shuffled(using: &random).prefix(300) {
            for offset: UInt64 in [0, 1, 8, block.size, .max, 4096] { expect(block.address &+ offset) }
        }
        for wild: UInt64 in [0, 1 << 47, .max, 0x7fff_ffff_ffff] {
            #expect(index.block(startingAt: wild) == -1)
        }
        let none = BlockIndex(UnsafeBufferPointer(start: nil, count: 0), grain: grain)
        #expect(none.block(startingAt: 0) == -1 && none.block(before: 4096) == -1)
    }

    @Test func aWordTableIsADictionary() {
        var random = Seeded(state: 7)
        var table = WordTable()
        var plain: [UInt64: UInt32] = [:]
        for number in 0..<20_000 {
            let key = UInt64.random(in: 1..<1 << 18, using: &random) << 4
            #expect(table.value(key) == plain[key])
            if plain[key] == nil {
                plain[key] = UInt32(number % 5)
                table.insert(key, UInt32(number % 5))
            }
        }
        table.remove(value: 0)
        #expect(table.count == plain.values.filter { $0 != 0 }.count)
        for (key, value) in plain { #expect(table.value(key) == (value == 0 ? nil : value)) }
    }
}
