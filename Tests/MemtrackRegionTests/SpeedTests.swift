// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import MemtrackRegion

/// How long a snapshot takes. Asks for a release build and a quiet machine, so it runs on request only:
///
///     MEMTRACK_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter SpeedTests
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["MEMTRACK_MEASURE"] != nil))
struct SpeedTests {
    @Test(arguments: [(100_000, 2, 10.0), (20_000, 16, 5.0)])
    func snapshot(cells: Int, banks: Int, milliseconds: Double) throws {
        var builder = RegionBuilder(pages: 16_384)
        let module = builder.addModule(start: 0, end: 1 << 40, path: Array("/bin/x".utf8))
        var node: UInt32 = 0
        for bank in 0...banks { builder.addBank(bank, owners: 1) }
        builder.put(Header.peakEpoch, UInt32(9))
        builder.put(Header.peakBytes, Int64.max)
        for number in 0..<cells {
            // Three frames of its own for each cell, of a stack that branches now and then.
            for frame in 0..<3 {
                node = builder.addNode(
                    address: UInt64(number * 4 + frame), parent: number % 10 == 0 ? 0 : node, module: module)
            }
            let cell = builder.addCell(stack: node, sizeClass: UInt32(number % 192))
            for bank in 1...banks {
                // Half of the pairs belong to the peak.
                let epoch = UInt32(8 + (number + bank) % 2)
                builder.count(
                    bank: bank, cell: cell,
                    Count(
                        allocations: 5, allocatedBytes: 50, frees: 2, freedBytes: 20, temporary: 1,
                        peakEpoch: epoch, peakBlocks: 3, peakBytes: 30))
            }
        }
        let directory = TemporaryDirectory()
        let file = try open(builder, in: directory)
        var times: [Double] = []
        let clock = ContinuousClock()
        for _ in 0..<52 {
            let time = try clock.measure {
                let snapshot = try file.snapshot()
                #expect(snapshot.cells.count == cells)
                #expect(snapshot.totals.peakBytes == Int64(cells * banks * 30))
            }
            times.append(Double(time.components.attoseconds) / 1e15)
        }
        let first = times.removeFirst()
        times.sort()
        let median = times[times.count / 2]
        print(
            "\(cells) cells, \(banks) banks: first \(first) ms, then median \(median) ms, best \(times[0]) ms"
        )
        #expect(median < milliseconds)
    }
}
