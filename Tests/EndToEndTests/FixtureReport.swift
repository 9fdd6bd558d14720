// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion

/// What these tests read of a report in JSON.
struct FixtureReport: Decodable {
    struct Counters: Decodable, Equatable {
        var allocations: Int
        var allocatedBytes: Int
        var frees: Int
        var freedBytes: Int
        var liveBlocks: Int
        var liveBytes: Int
        var peakBlocks: Int
        var peakBytes: Int
        var temporaryAllocations: Int
    }
    struct Frame: Decodable, Hashable {
        var function: String
        var file: String?
        var line: Int?
        var module: String
    }
    struct Site: Decodable {
        var counters: Counters
        var frame: Frame
        var stack: [Frame]
        var sizeClasses: [SizeClass]
        var standardError: StandardError?

        enum Keys: CodingKey { case stack, sizeClasses, standardError }
        init(from decoder: any Decoder) throws {
            counters = try Counters(from: decoder)
            frame = try Frame(from: decoder)
            let fields = try decoder.container(keyedBy: Keys.self)
            stack = try fields.decode([Frame].self, forKey: .stack)
            sizeClasses = try fields.decode([SizeClass].self, forKey: .sizeClasses)
            standardError = try fields.decodeIfPresent(StandardError.self, forKey: .standardError)
        }
    }
    struct StandardError: Decodable {
        var liveBytes: Double
    }
    struct SizeClass: Decodable {
        var minimumBytes: Int
        var maximumBytes: Int
        var allocations: Int
        var allocatedBytes: Int
        var liveBlocks: Int
    }

    var totals: Counters
    var sites: [Site]
    var sizeClasses: [SizeClass]

    /// The report on the only region of a session.
    init(_ session: Session) throws {
        guard let file = session.files().first, session.files().count == 1 else {
            throw HarnessError("expected one region in \(session.directory.path)")
        }
        try self.init(region: file.path)
    }

    init(region path: String) throws {
        let finished = try Command.run([Build.reader(), "report", "--json", "--region", path])
        guard finished.isSuccess else { throw HarnessError(finished.errorText) }
        self = try JSONDecoder().decode(FixtureReport.self, from: finished.output)
    }

    /// The counters of all sites in a function, by its name without the parameters.
    func sites(in function: String) -> [Site] {
        sites.filter { $0.frame.function.split(separator: "(").first.map(String.init) == function }
    }
}

/// Where a fixture's source says `SITE name`: the line.
func lineOfSite(_ name: String, in source: String) throws -> Int {
    let text = try String(contentsOfFile: Build.root + "/Tests/Fixtures/" + source, encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let index = lines.firstIndex(where: { $0.contains("SITE " + name) && $0.contains("/") }) else {
        throw HarnessError("\(source) marks no line with SITE \(name)")
    }
    return index + 1
}

extension Compiled {
    /// An allocator that signal handlers may use, to stand behind the shim.
    static func interruptible() throws -> String {
        try fixture("interruptible.c", ["-O2", "-shared", "-fPIC", "-fno-builtin"])
    }
}
