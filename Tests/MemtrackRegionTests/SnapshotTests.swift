// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import MemtrackRegion

typealias Header = RegionBuilder.Header
typealias Count = RegionBuilder.Count

/// Writes the region to a file of its own and opens it.
func open(_ builder: RegionBuilder, in directory: TemporaryDirectory) throws -> RegionFile {
    let path = directory.file("region-1-\(UInt64.random(in: 1 ... .max))")
    try builder.write(to: path)
    return try RegionFile(path: path)
}

private func snapshot(_ builder: RegionBuilder) throws -> RegionSnapshot {
    let directory = TemporaryDirectory()
    return try open(builder, in: directory).snapshot()
}

/// One frame in one module, which is enough for figures.
private func builderWithStack(cellBase: UInt32 = 1024, pages: Int = 128) -> (RegionBuilder, stack: UInt32) {
    var builder = RegionBuilder(pages: pages, cellBase: cellBase)
    let module = builder.addModule(start: 0x1000, end: 0x2000, path: Array("/bin/x".utf8))
    let stack = builder.addNode(address: 0x1234, parent: 0, module: module)
    return (builder, stack)
}

@Suite struct HeaderTests {
    @Test func identityAndSettings() throws {
        var builder = RegionBuilder()
        builder.put(Header.pid, UInt32(4321))
        builder.put(Header.parentPID, UInt32(4320))
        builder.put(Header.createdBoottime, UInt64(99))
        builder.put(Header.pidNamespace, UInt64(4_026_531_836))
        builder.put(Header.createdRealtime, UInt64(1_700_000_000_000_000_000))
        builder.put(Header.createdMonotonic, UInt64(55))
        builder.put(Header.parentCreatedMonotonic, UInt64(44))
        builder.put(Header.bootID, text: "0d0f1e2c-1111-2222-3333-444455556666")
        builder.put(Header.uid, UInt32(1000))
        builder.put(Header.origin, UInt32(1))
        builder.put(Header.executable, text: "/usr/bin/größe")
        builder.put(Header.commandLine, text: "größe\0-x\0\0last")
        builder.put(Header.commandLineBytes, UInt32("größe\0-x\0\0last".utf8.count))
        builder.put(Header.stackDepth, UInt32(17))
        builder.put(Header.unwinder, UInt32(1))
        builder.put(Header.capabilities, UInt32(21))
        builder.put(Header.sampleBytes, UInt64(524_288))
        builder.put(Header.state, UInt32(2))
        builder.put(Header.stopReason, UInt32(1))
        builder.put(Header.privateBytes, UInt64(70_000))
        builder.put(Header.reservedBytes, UInt64(1 << 30))
        builder.put(Header.mappings, UInt64(0x7000))
        builder.put(Header.mappings + 8, UInt64(4096))
        builder.put(Header.mappings + 126 * 16, UInt64(0x9000))
        builder.put(Header.mappings + 126 * 16 + 8, UInt64(8192))
        for field in 0..<24 { builder.put(Header.health + field * 8, UInt64(field + 1)) }

        let directory = TemporaryDirectory()
        let file = try open(builder, in: directory)
        let snapshot = try file.snapshot()
        #expect(
            snapshot.identity
                == RegionIdentity(
                    pid: 4321, parentPID: 4320, createdBoottimeNanoseconds: 99, pidNamespace: 4_026_531_836,
                    bootID: "0d0f1e2c-1111-2222-3333-444455556666",
                    createdRealtimeNanoseconds: 1_700_000_000_000_000_000, createdMonotonicNanoseconds: 55,
                    parentCreatedMonotonicNanoseconds: 44, uid: 1000, origin: .fork,
                    executable: "/usr/bin/größe", arguments: ["größe", "-x", "", "last"]))
        #expect(try file.identity() == snapshot.identity)
        #expect(snapshot.state == .stopped(reason: 1))
        #expect(snapshot.unwinder == .libunwind)
        #expect(snapshot.stackDepth == 17)
        #expect(snapshot.capabilities == 21)
        #expect(snapshot.sampleBytes == 524_288)
        #expect(snapshot.regionBytes == 4096)
        #expect(snapshot.privateBytes == 70_000)
        #expect(snapshot.reservedBytes == 1 << 30)
        let health = snapshot.health
        let figures = [
            health.overflowNodes, health.overflowCells, health.reentrant, health.truncatedStacks,
            health.incompleteStacks, health.foreignStacks, health.untrackedBlocks, health.untrackedBytes,
            health.unknownFrees, health.earlyBlocks, health.regionRefusals, health.sharedBankCalls,
            health.lostMarkers, health.lostGauges, health.childrenLost, health.verifiedStacks,
            health.verifyMismatches, health.verifySkipped, health.uncountedAllocations,
            health.uncountedBytes, health.confined, health.lostModules, health.lostPythonStacks,
            health.foreignMalloc,
        ]
        #expect(figures == Array(1...24))
        // And two that the reader adds up.
        #expect(RegionHealth.fields.map { health[keyPath: $0.path] } == figures + [0, 0])
        #expect(
            snapshot.mappings == [
                RegionMapping(start: 0x7000, bytes: 4096), RegionMapping(start: 0x9000, bytes: 8192),
            ])
    }

    @Test func argumentsEndLikeProcCmdline() throws {
        func arguments(_ text: String) throws -> [String] {
            var builder = RegionBuilder()
            builder.put(Header.commandLine, text: text)
            builder.put(Header.commandLineBytes, UInt32(text.utf8.count))
            return try snapshot(builder).identity.arguments
        }
        #expect(try arguments("") == [])
        #expect(try arguments("a\0b") == ["a", "b"])
        #expect(try arguments("a\0b\0") == ["a", "b"])
        #expect(try arguments("a\0\0") == ["a", ""])
    }

    @Test func textWithoutEndOrEncodingIsRepaired() throws {
        var builder = RegionBuilder()
        builder.put(Header.executable, raw: Array(repeating: UInt8(ascii: "x"), count: 512))
        builder.put(Header.commandLine, raw: [0x61, 0xff, 0x62] + Array(repeating: 0x63, count: 509))
        builder.put(Header.commandLineBytes, UInt32.max)
        builder.put(Header.bootID, raw: Array(repeating: 0x64, count: 40))
        let identity = try snapshot(builder).identity
        #expect(identity.executable == String(repeating: "x", count: 512))
        #expect(identity.arguments == ["a\u{fffd}b" + String(repeating: "c", count: 509)])
        #expect(identity.bootID == String(repeating: "d", count: 40))
    }
}

@Suite struct TableTests {
    @Test func nodesAndModules() throws {
        var builder = RegionBuilder()
        let buildID: [UInt8] = (1...20).map { UInt8($0) }
        let program = builder.addModule(
            start: 0x40_0000, end: 0x50_0000, bias: 0x40_0000, buildID: buildID, path: Array("/bin/prog".utf8)
        )
        let unfilled = builder.addModule(start: 1, end: 2, path: [], state: 0)
        var modules = [program, unfilled]
        for number in 3...20 {
            modules.append(
                builder.addModule(
                    start: UInt64(number) << 20, end: UInt64(number) << 21,
                    path: Array("/lib/\(number)".utf8),
                    flags: number == 20 ? 1 : 0))
        }
        let outer = builder.addNode(address: 0x40_1000, parent: 0, module: program, flags: 2)
        let inner = builder.addNode(address: 0x40_2000, parent: outer, module: modules[19], flags: 1)
        let jit = builder.addNode(address: 0x7f00_0000_0000, parent: inner, module: 0xffff, flags: 4)
        let empty = builder.addNode(address: 0, parent: 0, module: 0)

        let snapshot = try snapshot(builder)
        #expect(snapshot.modules.count == 19)
        #expect(
            snapshot.modules[program]
                == RegionModule(
                    start: 0x40_0000, end: 0x50_0000, bias: 0x40_0000, buildID: buildID, path: "/bin/prog"))
        #expect(snapshot.modules[unfilled] == nil)
        #expect(snapshot.modules[20]?.path == "/lib/20")
        #expect(snapshot.modules[20]?.pathIsCut == true)
        #expect(snapshot.nodes.count == Int(empty) + 1)
        #expect(snapshot.nodes[0] == nil)
        #expect(
            snapshot.nodes[Int(outer)]
                == RegionNode(address: 0x40_1000, parent: 0, module: program, isTruncated: true))
        #expect(
            snapshot.nodes[Int(inner)]
                == RegionNode(address: 0x40_2000, parent: outer, module: 20, isSignalFrame: true))
        #expect(
            snapshot.nodes[Int(jit)]
                == RegionNode(address: 0x7f00_0000_0000, parent: inner, module: nil, isIncomplete: true))
        #expect(snapshot.nodes[Int(empty)] == nil)
        #expect(snapshot.damagedRecords == 0)
    }

    @Test func nodesInManyChunks() throws {
        var (builder, last) = builderWithStack()
        for number in 0..<3000 {
            last = builder.addNode(address: UInt64(number), parent: last, module: 1)
        }
        let snapshot = try snapshot(builder)
        #expect(snapshot.nodes.count == 3002)
        #expect(snapshot.nodes[3001] == RegionNode(address: 2999, parent: 3000, module: 1))
        #expect(snapshot.nodes[1024] == RegionNode(address: 1022, parent: 1023, module: 1))
    }

    @Test func markersAreARingOldestFirst() throws {
        var builder = RegionBuilder()
        builder.addMarker(time: 7, label: Array("start".utf8))
        builder.addMarker(time: 8, label: Array("half-written".utf8), state: 0)
        builder.addMarker(time: 9, label: Array(repeating: 0x7a, count: 48))
        #expect(
            try snapshot(builder).markers == [
                RegionMarker(monotonicNanoseconds: 7, label: "start"),
                RegionMarker(monotonicNanoseconds: 9, label: String(repeating: "z", count: 48)),
            ])
        for number in 3..<70 { builder.addMarker(time: UInt64(number) + 7, label: Array("\(number)".utf8)) }
        let markers = try snapshot(builder).markers
        #expect(markers.map(\.label) == (6..<70).map { "\($0)" })
        #expect(markers.map(\.monotonicNanoseconds) == (13..<77).map { UInt64($0) })
    }

    @Test func gauges() throws {
        var builder = RegionBuilder()
        builder.addGauge(name: "queue", value: 12.5)
        builder.addGauge(name: "rate", value: -.infinity)
        #expect(
            try snapshot(builder).gauges == [
                RegionGauge(name: "queue", value: 12.5), RegionGauge(name: "rate", value: -.infinity),
            ])
    }
}

@Suite struct CounterTests {
    @Test func banksAreSummed() throws {
        var (builder, stack) = builderWithStack()
        let first = builder.addCell(stack: stack, sizeClass: 5)
        let unused = builder.addCell(stack: stack, sizeClass: 6)
        let second = builder.addCell(stack: stack, sizeClass: 7)
        builder.addBank(0)
        builder.addBank(1, owner: 10, owners: 2, walks: 100, fullWalks: 3)
        builder.addBank(2, owner: 11, owners: 1, walks: 50, fullWalks: 1)
        builder.addBank(9, owner: 0, owners: 4)
        builder.count(
            bank: 0, cell: first,
            Count(allocations: 1, allocatedBytes: 5, frees: 1, freedBytes: 5, temporary: 1))
        builder.count(
            bank: 1, cell: first, Count(allocations: 10, allocatedBytes: 50, frees: 2, freedBytes: 10))
        builder.count(bank: 2, cell: first, Count(frees: 7, freedBytes: 35))
        builder.count(bank: 2, cell: unused, Count())
        builder.count(bank: 9, cell: second, Count(allocations: 3, allocatedBytes: 21, temporary: 2))

        let snapshot = try snapshot(builder)
        var sum = Counters()
        sum.allocations = 11
        sum.allocatedBytes = 55
        sum.frees = 10
        sum.freedBytes = 50
        sum.temporary = 1
        sum.peakBlocks = 1
        sum.peakBytes = 5
        var other = Counters()
        other.allocations = 3
        other.allocatedBytes = 21
        other.temporary = 2
        other.peakBlocks = 3
        other.peakBytes = 21
        #expect(
            snapshot.cells == [
                RegionCell(kind: .site, stack: stack, sizeClass: 5, counters: sum),
                RegionCell(kind: .site, stack: stack, sizeClass: 7, counters: other),
            ])
        #expect(snapshot.totals == sum + other)
        #expect(snapshot.totals.liveBytes == 26)
        #expect(snapshot.banks == 4)
        #expect(snapshot.threadsSeen == 7)
        #expect(snapshot.walks == 150)
        #expect(snapshot.fullWalks == 4)
    }

    /// Counter indexes from 63,488 on lie in the first directory of a bank.
    @Test func directoryAndManyChunks() throws {
        var (builder, stack) = builderWithStack(pages: 256)
        builder.addBank(1, owners: 1)
        builder.addBank(2, owners: 1)
        var cells: [UInt32] = []
        for number in 0..<65_000 {
            let cell = builder.addCell(stack: stack, sizeClass: UInt32(number % 192))
            if [0, 1, 63, 64, 1023, 1024, 62_463, 62_464, 64_999].contains(number) { cells.append(cell) }
        }
        for (number, cell) in cells.enumerated() {
            builder.count(bank: 1, cell: cell, Count(allocations: UInt64(number) + 1, allocatedBytes: 1000))
            builder.count(bank: 2, cell: cell, Count(frees: 1, freedBytes: 10))
        }
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells.map(\.counters.allocations) == Array(1...9))
        #expect(snapshot.cells.map(\.sizeClass) == cells.map { ($0 - 1024) % 192 })
        #expect(snapshot.totals.liveBytes == 9 * 990)
        #expect(snapshot.damagedRecords == 0)
    }

    @Test func builtInCellsComeLastWithTheirKind() throws {
        var (builder, stack) = builderWithStack()
        let site = builder.addCell(stack: stack, sizeClass: 1)
        builder.addBank(0)
        for kind: UInt32 in 1...4 {
            let count = Count(allocations: UInt64(kind), allocatedBytes: UInt64(kind) * 10)
            builder.count(bank: 0, cell: kind * 192 + kind + 20, count)
        }
        builder.count(bank: 0, cell: 191, Count(allocations: 1))  // kind "none"
        builder.count(bank: 0, cell: 5 * 192, Count(allocations: 1))  // no kind
        builder.count(bank: 0, cell: site, Count(allocations: 9, allocatedBytes: 9))
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells.map(\.kind) == [.site, .overflow, .reentrant, .inherited, .noStack])
        #expect(snapshot.cells.map(\.sizeClass) == [1, 21, 22, 23, 24])
        #expect(snapshot.cells.map(\.stack) == [stack, 0, 0, 0, 0])
        #expect(snapshot.cells.map(\.counters.allocations) == [9, 1, 2, 3, 4])
        #expect(snapshot.damagedRecords == 2)
    }

    @Test func forkedChildNumbersOn() throws {
        var (builder, stack) = builderWithStack(cellBase: 77_777)
        let cell = builder.addCell(stack: stack, sizeClass: 30)
        #expect(cell == 77_777)
        builder.addBank(1, owners: 1)
        builder.count(bank: 1, cell: cell, Count(allocations: 2, allocatedBytes: 600))
        builder.count(bank: 1, cell: 3 * 192 + 8, Count(frees: 5, freedBytes: 40))
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells.map(\.kind) == [.site, .inherited])
        #expect(snapshot.cells[0].counters.liveBytes == 600)
        #expect(snapshot.cells[1].counters.liveBytes == -40)
        #expect(snapshot.totals.liveBlocks == -3)
    }
}

@Suite struct PeakTests {
    /// Two banks, recorded peak of 1,000 bytes at epoch 7; live now are 400.
    private func builder() -> (RegionBuilder, UInt32, UInt32) {
        var (builder, stack) = builderWithStack()
        let first = builder.addCell(stack: stack, sizeClass: 5)
        let second = builder.addCell(stack: stack, sizeClass: 6)
        builder.addBank(0)
        builder.addBank(1, owners: 1)
        builder.addBank(2, owners: 1)
        builder.put(Header.peakEpoch, UInt32(7))
        builder.put(Header.peakBytes, Int64(1000))
        builder.put(Header.peakMonotonic, UInt64(123_456))
        // Changed since the peak: its pair counts.
        builder.count(
            bank: 1, cell: first,
            Count(
                allocations: 10, allocatedBytes: 1000, frees: 9, freedBytes: 900, peakSequence: 4,
                peakEpoch: 7,
                peakBlocks: 9, peakBytes: 900))
        // Its pair belongs to an earlier peak: unchanged since, so the present counts.
        builder.count(
            bank: 2, cell: first,
            Count(frees: 1, freedBytes: 50, peakSequence: 2, peakEpoch: 6, peakBlocks: 77, peakBytes: 7777))
        builder.count(
            bank: 2, cell: second,
            Count(
                allocations: 5, allocatedBytes: 350, peakSequence: 2, peakEpoch: 7, peakBlocks: 2,
                peakBytes: 150))
        return (builder, first, second)
    }

    @Test func pairsOfTheEpochElseThePresent() throws {
        let snapshot = try snapshot(builder().0)
        #expect(snapshot.cells.map(\.counters.peakBytes) == [850, 150])
        #expect(snapshot.cells.map(\.counters.peakBlocks) == [8, 2])
        #expect(snapshot.totals.peakBytes == 1000)
        #expect(snapshot.totals.peakBlocks == 10)
        #expect(snapshot.totals.liveBytes == 400)
        #expect(snapshot.recordedPeakBytes == 1000)
        #expect(snapshot.peakMonotonicNanoseconds == 123_456)
        #expect(snapshot.peakSlackBytes == 0)
    }

    @Test func bankZeroHasPairsLikeAnyOther() throws {
        var (builder, first, _) = builder()
        builder.count(
            bank: 0, cell: first,
            Count(
                allocations: 1, allocatedBytes: 30, peakSequence: 2, peakEpoch: 7, peakBlocks: 3,
                peakBytes: 300))
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells[0].counters.peakBytes == 850 + 300)
        #expect(snapshot.cells[0].counters.peakBlocks == 8 + 3)
    }

    /// A writer that was killed between its two increments left the sequence odd for ever.
    @Test func pairThatIsBeingWrittenIsGivenUp() throws {
        var (builder, first, _) = builder()
        builder.put(builder.countersOffset(bank: 1, cell: first) + 40, UInt32(5))
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells[0].counters.peakBytes == 100 - 50)
    }

    @Test func moreLiveThanRecordedMeansThePeakIsNow() throws {
        var (builder, _, _) = builder()
        builder.put(Header.peakBytes, Int64(399))
        let snapshot = try snapshot(builder)
        #expect(snapshot.cells.map(\.counters.peakBytes) == [50, 350])
        #expect(snapshot.cells.map(\.counters.peakBlocks) == [0, 5])
        #expect(snapshot.totals.peakBytes == 400)
        #expect(snapshot.totals.peakBlocks == 5)
        #expect(snapshot.peakMonotonicNanoseconds == 0)
        builder.put(Header.peakBytes, Int64(400))
        #expect(try self.snapshotTime(builder) == 123_456)
    }

    private func snapshotTime(_ builder: RegionBuilder) throws -> UInt64 {
        try snapshot(builder).peakMonotonicNanoseconds
    }

    /// Epoch 0 is in every fresh counter: it marks no peak.
    @Test func noPeakRecordedYet() throws {
        var (builder, stack) = builderWithStack()
        let cell = builder.addCell(stack: stack, sizeClass: 5)
        builder.addBank(1, owners: 1)
        builder.count(
            bank: 1, cell: cell, Count(allocations: 3, allocatedBytes: 30, frees: 1, freedBytes: 10))
        builder.put(Header.peakBytes, Int64(1 << 40))
        let snapshot = try snapshot(builder)
        #expect(snapshot.totals.peakBytes == 20)
        #expect(snapshot.peakMonotonicNanoseconds == 0)
    }

    @Test func slackIsFlushBytesForEachBank() throws {
        var (builder, _, _) = builder()
        builder.put(Header.threadsSeenShared, UInt32(1))
        #expect(try snapshot(builder).peakSlackBytes == 2 * 65536)
        for bank in 3..<9 { builder.addBank(bank, owners: 1) }
        builder.addBank(9)  // made, never used
        #expect(try snapshot(builder).peakSlackBytes == 8 * 65536)
    }
}
