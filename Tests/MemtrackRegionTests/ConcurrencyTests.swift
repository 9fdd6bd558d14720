// SPDX-License-Identifier: Apache-2.0
import Foundation
import Synchronization
import Testing

@testable import MemtrackRegion

/// Snapshots while threads write, in the order that the library writes in.
@Suite(.timeLimit(.minutes(2))) struct ConcurrencyTests {
    private static let cells = 200
    private static let blockBytes: UInt64 = 24

    /// The words of a mapped region.
    private struct Words: @unchecked Sendable {
        let base: UnsafeMutableRawPointer

        func store(_ offset: Int, _ value: UInt64) {
            (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee
                .store(value, ordering: .releasing)
        }
        func store(_ offset: Int, _ value: UInt32) {
            (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self).pointee
                .store(value, ordering: .releasing)
        }
        func load(_ offset: Int) -> UInt64 {
            (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
        }
        /// Adds as the only writer does: no read-modify-write instruction.
        func add(_ offset: Int, _ value: UInt64) { store(offset, load(offset) &+ value) }
    }

    /// Blocks on their way from the threads that allocate to those that free, one count a cell.
    private final class Blocks: @unchecked Sendable {
        let counts: UnsafeMutablePointer<Atomic<Int>>
        init() {
            counts = .allocate(capacity: cells)
            for index in 0..<cells { (counts + index).initialize(to: Atomic(0)) }
        }
        deinit { counts.deallocate() }
    }

    /// A region with four banks and the offsets of the counters of all cells in each.
    private struct Region {
        var builder = RegionBuilder(pages: 256)
        var offsets: [[Int]] = []

        init() {
            let module = builder.addModule(start: 1, end: 2, path: Array("/bin/x".utf8))
            let stack = builder.addNode(address: 1, parent: 0, module: module)
            var ids: [UInt32] = []
            for _ in 0..<cells { ids.append(builder.addCell(stack: stack, sizeClass: 20)) }
            builder.addBank(0)
            for bank in 1...4 {
                builder.addBank(bank, owners: 1)
                var places: [Int] = []
                for id in ids { places.append(builder.countersOffset(bank: bank, cell: id)) }
                offsets.append(places)
            }
        }
    }

    @Test func liveIsNeverNegative() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("region")
        var region = Region()
        let offsets = region.offsets
        // One allocating bank is published only while snapshots are taken.
        let lateBank = RegionBuilder.bankDirectory + 4 * 16
        let latePage = region.builder.get(lateBank)
        region.builder.put(lateBank, UInt32(0))
        try region.builder.write(to: path)
        let size = region.builder.bytes.count
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        let base = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0))
        defer { munmap(base, size) }

        let words = Words(base: base)
        let blocks = Blocks()
        let stop = Flag()
        // Places 0 and 3 allocate, 1 and 2 free: the freeing banks lie between, so that a reader that
        // took the allocations first, or went bank by bank, would be caught.
        for bank in [0, 3] {
            Thread {
                if bank == 3 {
                    usleep(200_000)
                    words.store(lateBank, latePage)
                }
                var cell = bank
                while !stop.isSet {
                    for _ in 0..<500 {
                        cell = (cell + 7) % Self.cells
                        // Few blocks at a time: any wrong order shows as less than none.
                        if blocks.counts[cell].load(ordering: .relaxed) > 0 { continue }
                        words.add(offsets[bank][cell] + 8, Self.blockBytes)
                        words.add(offsets[bank][cell], 1)
                        blocks.counts[cell].add(1, ordering: .acquiringAndReleasing)
                    }
                }
                stop.ended.signal()
            }.start()
        }
        for bank in [1, 2] {
            Thread {
                while !stop.isSet {
                    for cell in 0..<Self.cells {
                        let left = blocks.counts[cell].subtract(1, ordering: .acquiringAndReleasing).newValue
                        if left < 0 {
                            blocks.counts[cell].add(1, ordering: .acquiringAndReleasing)
                            continue
                        }
                        words.add(offsets[bank][cell] + 16, 1)
                        words.add(offsets[bank][cell] + 24, Self.blockBytes)
                    }
                }
                stop.ended.signal()
            }.start()
        }

        let file = try RegionFile(path: path)
        let end = Date().addingTimeInterval(1)
        var snapshots = 0
        var last = Counters()
        while Date() < end {
            let snapshot = try file.snapshot()
            snapshots += 1
            for cell in snapshot.cells where cell.counters.liveBlocks < 0 || cell.counters.liveBytes < 0 {
                Issue.record("live \(cell.counters.liveBlocks) blocks, \(cell.counters.liveBytes) bytes")
            }
            #expect(snapshot.totals.allocations >= last.allocations && snapshot.totals.frees >= last.frees)
            last = snapshot.totals
        }
        stop.set()
        for _ in 0..<4 { stop.ended.wait() }

        let final = try file.snapshot()
        let underWay = (0..<Self.cells).reduce(0) { $0 + blocks.counts[$1].load(ordering: .relaxed) }
        #expect(final.totals.liveBlocks == Int64(underWay))
        #expect(final.totals.liveBytes == Int64(underWay) * Int64(Self.blockBytes))
        #expect(final.totals.frees > 0)
        #expect(snapshots > 10)
    }

    /// A thread rewrites the peak pairs for ever; both halves that are read always belong together.
    @Test func peakPairsAreNotTorn() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("region")
        var region = Region()
        region.builder.put(Header.peakEpoch, UInt32(1))
        region.builder.put(Header.peakBytes, Int64.max)
        for offset in region.offsets[0] { region.builder.put(offset + 44, UInt32(1)) }
        for offset in region.offsets[0] { region.builder.put(offset, UInt64(1)) }
        try region.builder.write(to: path)
        let size = region.builder.bytes.count
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        let base = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0))
        defer { munmap(base, size) }

        let words = Words(base: base)
        let offsets = region.offsets[0]
        let stop = Flag()
        Thread {
            var round: UInt64 = 0
            var sequence: UInt32 = 0
            while !stop.isSet {
                round += 1
                for offset in offsets {
                    words.store(offset + 40, sequence &+ 1)
                    words.store(offset + 48, round)
                    words.store(offset + 56, round * 10)
                    words.store(offset + 40, sequence &+ 2)
                }
                sequence &+= 2
            }
            stop.ended.signal()
        }.start()

        let file = try RegionFile(path: path)
        let end = Date().addingTimeInterval(0.5)
        var seen: Set<Int64> = []
        while Date() < end {
            for cell in try file.snapshot().cells {
                let peak = cell.counters
                // (1, 0) is the present: what a reader falls back on that met the writer 64 times.
                if peak.peakBlocks == 1 && peak.peakBytes == 0 { continue }
                #expect(peak.peakBytes == peak.peakBlocks * 10)
                seen.insert(peak.peakBlocks)
            }
        }
        stop.set()
        stop.ended.wait()
        #expect(seen.count > 10)
    }
}
