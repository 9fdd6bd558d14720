// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The JSON forms, as a stranger would read them: by the names that the documentation gives.
struct Report: Decodable {
    struct Totals: Decodable, Equatable {
        var allocations: Int
        var allocatedBytes: Int
        var frees: Int
        var freedBytes: Int
        var liveBlocks: Int
        var liveBytes: Int
        var peakBytes: Int
        var temporaryAllocations: Int

        static func + (left: Totals, right: Totals) -> Totals {
            Totals(
                allocations: left.allocations + right.allocations,
                allocatedBytes: left.allocatedBytes + right.allocatedBytes, frees: left.frees + right.frees,
                freedBytes: left.freedBytes + right.freedBytes,
                liveBlocks: left.liveBlocks + right.liveBlocks,
                liveBytes: left.liveBytes + right.liveBytes, peakBytes: left.peakBytes + right.peakBytes,
                temporaryAllocations: left.temporaryAllocations + right.temporaryAllocations)
        }

        static let zero = Totals(
            allocations: 0, allocatedBytes: 0, frees: 0, freedBytes: 0, liveBlocks: 0, liveBytes: 0,
            peakBytes: 0, temporaryAllocations: 0)
    }

    struct Frame: Decodable {
        var function: String
        var file: String?
        var line: Int?
        var module: String
    }

    struct Site: Decodable {
        var frame: Frame
        var totals: Totals
        var stack: [Frame]

        enum Keys: CodingKey { case stack }

        init(from decoder: any Decoder) throws {
            frame = try Frame(from: decoder)
            totals = try Totals(from: decoder)
            stack = try decoder.container(keyedBy: Keys.self).decode([Frame].self, forKey: .stack)
        }
    }

    struct SizeClass: Decodable {
        var minimumBytes: UInt64
        var maximumBytes: UInt64
        var totals: Totals

        enum Keys: CodingKey { case minimumBytes, maximumBytes }

        init(from decoder: any Decoder) throws {
            totals = try Totals(from: decoder)
            let container = try decoder.container(keyedBy: Keys.self)
            minimumBytes = try container.decode(UInt64.self, forKey: .minimumBytes)
            maximumBytes = try container.decode(UInt64.self, forKey: .maximumBytes)
        }
    }

    struct Figures: Decodable {
        var rssBytes: Int
        var vmsBytes: Int
        var peakRssBytes: Int?
        var children: Int
        var totalRssBytes: Int
    }

    struct Process: Decodable {
        var pid: Int32
        var parentPid: Int32
        var executable: String
        var origin: String
        var running: Bool
        var replaced: Bool
        var totals: Totals?
        var figures: Figures?
    }

    struct Blocks: Decodable, Equatable {
        var blocks: Int
        var bytes: Int
    }

    struct Checkpoint: Decodable {
        var number: Int
        var elapsedSeconds: Double
        var figures: Figures?
        var totals: Totals?
    }

    var exitStatus: Int32?
    var signal: Int32?
    var notes: [String]
    var totals: Totals?
    var freedByExec: Blocks
    var sites: [Site]
    var sizeClasses: [SizeClass]
    var processes: [Process]
    var health: [String: Int]
    var checkpoints: [Checkpoint]

    init(_ data: Data) throws {
        self = try JSONDecoder().decode(Report.self, from: data)
    }

    /// Runs a program under the launcher to its end and reads the JSON.
    static func of(
        _ command: [String], options: [String] = [], environment: [String: String] = [:], input: Data = Data()
    ) throws -> (report: Report, run: Finished) {
        let directory = try TemporaryDirectory()
        let json = directory.file("report.json")
        let run = try Command.run(
            [try Build.launcher(), "--no-history", "--json", json] + options + command,
            environment: environment, input: input)
        let data = try Data(contentsOf: URL(fileURLWithPath: json))
        return (try Report(data), run)
    }

    func site(_ function: String) -> Site? { sites.first { $0.frame.function == function } }
}
