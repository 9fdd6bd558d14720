// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Writes regions from the documented layout, with numbers of its own: it shares no code with the reader.
struct RegionBuilder {
    /// Offsets in the header.
    enum Header {
        static let magic = 0, abiVersion = 8, headerBytes = 12, fileBytes = 16, usedPages = 24
        static let pid = 32, parentPID = 36, createdBoottime = 40, pidNamespace = 48, createdRealtime = 56
        static let createdMonotonic = 64, parentCreatedMonotonic = 72, bootID = 80, uid = 120, origin = 124
        static let capabilities = 164, executable = 168, commandLine = 680, commandLineBytes = 1192
        static let stackDepth = 1196, unwinder = 1200, sampleBytes = 1208, state = 1216, stopReason = 1220
        static let threadsSeenShared = 1228, nodeNext = 1232, cellBase = 1236, cellNext = 1240
        static let moduleNext = 1244, bankNext = 1248, markerPage = 1252, gaugePage = 1256, markerNext = 1260
        static let liveBytes = 1264, peakBytes = 1272, peakMonotonic = 1280, peakEpoch = 1288
        static let flushBytes = 1292, privateBytes = 1312, reservedBytes = 1320, health = 1328
        static let mappingNext = 1520, directoryPages = 1528, mappings = 1536
    }

    struct Count {
        var allocations: UInt64 = 0
        var allocatedBytes: UInt64 = 0
        var frees: UInt64 = 0
        var freedBytes: UInt64 = 0
        var temporary: UInt64 = 0
        var peakSequence: UInt32 = 0
        var peakEpoch: UInt32 = 0
        var peakBlocks: Int64 = 0
        var peakBytes: Int64 = 0
    }

    static let page = 4096
    /// Where the first entry of the directory names a chunk; the others follow 16 bytes apart.
    static let nodeDirectory = 3584
    static let cellDirectory = 3588
    static let moduleDirectory = 3592
    static let bankDirectory = 3596

    private(set) var bytes: [UInt8]
    private var nextPage = 33
    private var bankPages: [Int: Int] = [:]
    private var markers: UInt32 = 0
    private var gauges = 0

    init(pages: Int = 128, cellBase: UInt32 = 1024) {
        bytes = Array(repeating: 0, count: pages * Self.page)
        put(Header.magic, UInt64(0x314b_5254_4d45_4d00))
        put(Header.abiVersion, UInt32(3))
        put(Header.headerBytes, UInt32(3584))
        put(Header.fileBytes, UInt64(bytes.count))
        put(Header.usedPages, UInt64(nextPage))
        put(Header.state, UInt32(1))
        put(Header.stackDepth, UInt32(64))
        put(Header.flushBytes, UInt32(65536))
        put(Header.nodeNext, UInt32(1))
        put(Header.moduleNext, UInt32(1))
        put(Header.cellBase, cellBase)
        put(Header.cellNext, cellBase)
    }

    mutating func put<Number: FixedWidthInteger>(_ offset: Int, _ value: Number) {
        withUnsafeBytes(of: value.littleEndian) {
            bytes.replaceSubrange(offset..<offset + $0.count, with: $0)
        }
    }

    mutating func put(_ offset: Int, text: String) { put(offset, raw: Array(text.utf8)) }

    mutating func put(_ offset: Int, raw: [UInt8]) {
        bytes.replaceSubrange(offset..<offset + raw.count, with: raw)
    }

    func get(_ offset: Int) -> UInt32 {
        bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    mutating func takePages(_ count: Int) -> Int {
        precondition((nextPage + count) * Self.page <= bytes.count, "give the builder more pages")
        defer {
            nextPage += count
            put(Header.usedPages, UInt64(nextPage))
        }
        return nextPage
    }

    /// The offset of what the directory entry names; pages are taken if it names none yet.
    private mutating func chunk(_ entry: Int, pages: Int) -> Int {
        if get(entry) == 0 { put(entry, UInt32(takePages(pages))) }
        return Int(get(entry)) * Self.page
    }

    /// The same for entry `index` of the directory.
    private mutating func named(_ directory: Int, _ index: Int) -> Int {
        let entry = directory + index * 16
        if entry >= Self.page {
            put(Header.directoryPages, get(Header.directoryPages) | 1 << UInt32(entry / Self.page - 1))
        }
        return chunk(entry, pages: 1)
    }

    private mutating func take(_ counter: Int) -> UInt32 {
        let id = get(counter)
        put(counter, id + 1)
        return id
    }

    mutating func addModule(
        start: UInt64, end: UInt64, bias: UInt64 = 0, buildID: [UInt8] = [], path: [UInt8], state: UInt32 = 1,
        flags: UInt32 = 0
    ) -> UInt16 {
        let index = Int(take(Header.moduleNext))
        let record = named(Self.moduleDirectory, index / 8) + index % 8 * 512
        put(record, state)
        put(record + 4, flags)
        put(record + 8, start)
        put(record + 16, end)
        put(record + 24, bias)
        put(record + 36, UInt32(buildID.count))
        put(record + 40, raw: buildID)
        put(record + 72, raw: path)
        return UInt16(index)
    }

    mutating func addNode(address: UInt64, parent: UInt32, module: UInt16, flags: UInt16 = 0) -> UInt32 {
        let id = take(Header.nodeNext)
        let record = nodeOffset(id)
        put(record, address)
        put(record + 8, parent)
        put(record + 12, module)
        put(record + 14, flags)
        return id
    }

    mutating func nodeOffset(_ id: UInt32) -> Int {
        named(Self.nodeDirectory, Int(id) / 256) + Int(id) % 256 * 16
    }

    mutating func addCell(stack: UInt32, sizeClass: UInt32) -> UInt32 {
        let id = take(Header.cellNext)
        let number = Int(id - get(Header.cellBase))
        let record = named(Self.cellDirectory, number / 512) + number % 512 * 8
        put(record, stack)
        put(record + 4, sizeClass)
        return id
    }

    mutating func addBank(
        _ index: Int, owner: UInt32 = 0, owners: UInt64 = 0, walks: UInt64 = 0, fullWalks: UInt64 = 0
    ) {
        let record = named(Self.bankDirectory, index)
        put(record, owner)
        put(record + 8, owners)
        put(record + 16, walks)
        put(record + 24, fullWalks)
        bankPages[index] = record
        put(Header.bankNext, max(get(Header.bankNext), UInt32(index + 1)))
    }

    /// Where the counters of a cell lie in a bank that was added.
    mutating func countersOffset(bank: Int, cell: UInt32) -> Int {
        let index = cell < 1024 ? Int(cell) : Int(cell - get(Header.cellBase)) + 1024
        let page = index / 64
        if page < 992 { return chunk(bankPages[bank]! + 72 + page * 4, pages: 1) + index % 64 * 64 }
        let directory = chunk(bankPages[bank]! + 40 + (page - 992) / 1024 * 4, pages: 1)
        return chunk(directory + (page - 992) % 1024 * 4, pages: 1) + index % 64 * 64
    }

    mutating func count(bank: Int, cell: UInt32, _ count: Count) {
        let record = countersOffset(bank: bank, cell: cell)
        put(record, count.allocations)
        put(record + 8, count.allocatedBytes)
        put(record + 16, count.frees)
        put(record + 24, count.freedBytes)
        put(record + 32, count.temporary)
        put(record + 40, count.peakSequence)
        put(record + 44, count.peakEpoch)
        put(record + 48, count.peakBlocks)
        put(record + 56, count.peakBytes)
    }

    mutating func addMarker(time: UInt64, label: [UInt8], state: UInt64 = 1) {
        let record = chunk(Header.markerPage, pages: 1) + Int(markers % 64) * 64
        markers += 1
        put(Header.markerNext, markers)
        put(record, raw: Array(repeating: 0, count: 64))
        put(record, state)
        put(record + 8, time)
        put(record + 16, raw: label)
    }

    mutating func addGauge(name: String, value: Double) {
        let record = chunk(Header.gaugePage, pages: 1) + gauges * 64
        gauges += 1
        put(record, UInt64(1))
        put(record + 8, value.bitPattern)
        put(record + 16, text: name)
    }

    func write(to path: String) throws {
        try Data(bytes).write(to: URL(filePath: path))
    }
}

/// A region that uses every table, for damage to be done to.
func richBuilder() -> RegionBuilder {
    var builder = RegionBuilder(pages: 64)
    builder.put(RegionBuilder.Header.executable, text: "/usr/bin/victim")
    builder.put(RegionBuilder.Header.commandLine, text: "victim\0-v")
    builder.put(RegionBuilder.Header.commandLineBytes, UInt32(9))
    builder.put(RegionBuilder.Header.peakEpoch, UInt32(3))
    builder.put(RegionBuilder.Header.peakBytes, Int64(5000))
    for number in 1...10 {
        let path = Array("/lib/\(number)".utf8)
        _ = builder.addModule(start: UInt64(number) << 20, end: UInt64(number + 1) << 20, path: path)
    }
    var stacks: [UInt32] = [0]
    for number in 1...40 {
        let parent = stacks[number / 2]
        stacks.append(
            builder.addNode(address: UInt64(number) << 12, parent: parent, module: UInt16(number % 10 + 1)))
    }
    for bank in 0...3 { builder.addBank(bank, owners: UInt64(bank)) }
    for number in 1...100 {
        let cell = builder.addCell(stack: stacks[number % 40 + 1], sizeClass: UInt32(number))
        let count = RegionBuilder.Count(
            allocations: UInt64(number), allocatedBytes: UInt64(number) * 8, peakEpoch: 3)
        builder.count(bank: number % 4, cell: cell, count)
    }
    builder.count(bank: 0, cell: 192 + 7, RegionBuilder.Count(allocations: 1, allocatedBytes: 7))
    builder.addMarker(time: 1, label: Array("go".utf8))
    builder.addGauge(name: "gauge", value: 1)
    return builder
}
