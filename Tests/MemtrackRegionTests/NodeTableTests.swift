// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MemtrackRegion

/// What is kept of the stacks from one snapshot to the next: a node that was not there yet, or not sound, is read again.
@Suite struct NodeTableTests {
    private static let perChunk = 4

    /// Chunks of raw node records.
    private final class Records {
        private static let bytes = 8 * perChunk * NodeLayout.stride
        let start = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)

        init() { start.initializeMemory(as: UInt8.self, repeating: 0, count: Self.bytes) }
        deinit { start.deallocate() }

        func set(_ id: Int, address: UInt64, parent: UInt32, module: UInt16) {
            let record = start + id * NodeLayout.stride
            record.storeBytes(of: address, toByteOffset: NodeLayout.address, as: UInt64.self)
            record.storeBytes(of: parent, toByteOffset: NodeLayout.parent, as: UInt32.self)
            record.storeBytes(of: module, toByteOffset: NodeLayout.module, as: UInt16.self)
        }

        func chunks(_ count: Int) -> [UnsafeRawPointer?] {
            (0..<count).map { UnsafeRawPointer(start) + $0 * perChunk * NodeLayout.stride }
        }
    }

    private let module = RegionModule(start: 0, end: 1 << 40, bias: 0, buildID: [], path: "/bin/x")

    private func read(
        _ table: inout NodeTable, _ records: Records, count: Int, modules: Set<UInt16> = [1]
    ) -> [UInt64?] {
        let chunks = (count + Self.perChunk - 1) / Self.perChunk
        table.read(records.chunks(chunks), count: count, perChunk: Self.perChunk)
        table.check(modules: Dictionary(uniqueKeysWithValues: modules.map { ($0, module) }))
        return table.nodes.map { $0?.address }
    }

    @Test func whatIsPublishedLaterIsSeen() {
        let records = Records()
        var table = NodeTable()
        for id in [1, 2, 4, 5, 6, 7] { records.set(id, address: UInt64(id), parent: 0, module: 1) }
        #expect(read(&table, records, count: 8) == [nil, 1, 2, nil, 4, 5, 6, 7])
        records.set(3, address: 3, parent: 2, module: 1)
        records.set(8, address: 8, parent: 3, module: 1)
        #expect(read(&table, records, count: 9) == [nil, 1, 2, 3, 4, 5, 6, 7, 8])
        #expect(table.nodes[8]?.parent == 3)
        // The second chunk was whole the first time and is not read again, the first and the third are.
        records.set(5, address: 55, parent: 0, module: 1)
        records.set(9, address: 9, parent: 0, module: 1)
        #expect(read(&table, records, count: 10) == [nil, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        #expect(table.damaged == 0)
    }

    @Test func damageIsCountedEachTimeAndMayEnd() {
        let records = Records()
        var table = NodeTable()
        for id in 1..<8 { records.set(id, address: UInt64(id), parent: 0, module: id == 6 ? 2 : 1) }
        records.set(2, address: 2, parent: 7, module: 1)
        for _ in 0..<2 {
            _ = read(&table, records, count: 8)
            #expect(table.damaged == 2)
            #expect(table.nodes[2]?.parent == 0)
            #expect(table.nodes[6]?.module == nil)
        }
        // The module that node 6 names has been written down meanwhile.
        records.set(2, address: 2, parent: 1, module: 1)
        _ = read(&table, records, count: 8, modules: [1, 2])
        #expect(table.damaged == 0)
        #expect(table.nodes[2]?.parent == 1)
        #expect(table.nodes[6]?.module == 2)
    }

    @Test func fewerNodesThanBeforeAreNoTrap() {
        let records = Records()
        var table = NodeTable()
        for id in 1..<16 { records.set(id, address: UInt64(id), parent: 0, module: 1) }
        #expect(read(&table, records, count: 16).count == 16)
        #expect(read(&table, records, count: 6) == [nil, 1, 2, 3, 4, 5])
        #expect(read(&table, records, count: 16).last == 15)
        table.read([nil, nil], count: 8, perChunk: Self.perChunk)
        #expect(table.nodes.count == 8)
        table.read([], count: 1, perChunk: Self.perChunk)
        #expect(table.nodes.count == 1)
    }
}
