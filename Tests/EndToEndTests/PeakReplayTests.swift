// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// The peak and what it is made of, against a replay of every event, which Tests/Shim/events.c has written down behind
/// the shim: with one thread exact, with several a real moment whose total is within the stated slack of the peak.
@Suite struct PeakReplayTests {
    @Test(arguments: [(0, 400), (2, 200), (4, 200), (8, 100)])
    func peakIsAMomentOfTheReplay(_ threads: Int, _ rounds: Int) throws {
        let session = try Session()
        let directory = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.fixture("/Shim/events.c", ["-O2", "-shared", "-fPIC", "-fno-builtin"])],
            ["EVENTS_FILE": directory.file("events")])
        let program = try Compiled.fixture("waves.c", ["-O1"])
        let finished = try Command.run([program, "\(threads)", "\(rounds)"], environment: environment)
        #expect(finished.isSuccess, "\(finished.errorText)")
        let region = try session.region()
        let replay = try Replay(directory.file("events"))
        #expect(replay.count > 20_000)
        #expect(region.totals.allocations == replay.allocations)

        let slack = Int64(region.peakSlackBytes)
        // The banks are those of the threads, of main, and one shared by all.
        #expect(threads == 0 ? slack == 0 : (1...Int64(65536 * (threads + 2))).contains(slack))
        #expect(abs(replay.peak - region.recordedPeakBytes) <= slack, "\(replay.peak) \(slack)")
        #expect(abs(replay.peak - region.totals.peakBytes) <= slack, "\(replay.peak) \(slack)")

        var composition = [Int64](repeating: 0, count: 192)
        for cell in region.cells { composition[Int(cell.sizeClass)] += cell.counters.peakBytes }
        // The log and the shim may see the events of two threads in another order: two blocks a thread.
        let distance = replay.nearestDistance(to: composition)
        let tolerated = Int64(threads) * 2 * 4104
        #expect(distance <= tolerated, "no moment is nearer than \(distance) bytes, slack \(slack)")
    }
}

/// The live bytes of each size class after each event.
private struct Replay {
    private(set) var peak: Int64 = 0
    private(set) var allocations: UInt64 = 0
    private var steps: [(sizeClass: Int, bytes: Int64)] = []

    var count: Int { steps.count }

    init(_ path: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
        try data.withUnsafeBytes { bytes in
            let count = Int(bytes.loadUnaligned(as: UInt64.self))
            guard count < 1 << 22 else { throw HarnessError("\(count) events do not fit into the log") }
            var sizes: [UInt64: UInt64] = [:]
            var live: Int64 = 0
            for index in 0..<count {
                let block = bytes.loadUnaligned(fromByteOffset: 16 + index * 16, as: UInt64.self)
                let size = bytes.loadUnaligned(fromByteOffset: 24 + index * 16, as: UInt64.self)
                let isFree = size == .max
                guard let size = isFree ? sizes.removeValue(forKey: block) : size else { continue }
                if !isFree {
                    sizes[block] = size
                    allocations += 1
                }
                let change = isFree ? -Int64(size) : Int64(size)
                steps.append((Int(SizeClass.containing(size)), change))
                live += change
                peak = max(peak, live)
            }
        }
    }

    /// The smallest sum of differences by size class between a composition and a moment of the replay.
    func nearestDistance(to composition: [Int64]) -> Int64 {
        var difference = composition
        var sum = difference.reduce(0) { $0 + abs($1) }
        var best = sum
        for step in steps {
            sum -= abs(difference[step.sizeClass])
            difference[step.sizeClass] -= step.bytes
            sum += abs(difference[step.sizeClass])
            best = min(best, sum)
        }
        return best
    }
}
