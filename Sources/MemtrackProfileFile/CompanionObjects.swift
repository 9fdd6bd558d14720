// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProfile

/// What live memory was at the last look, by type. Sums over types are made anew when it is read.
typealias CompanionObjects = Joined<CensusReading, CompanionObjectsDetails>

struct CompanionObjectsDetails: Codable {
    struct Site: Codable {
        var function: String
        var file: String?
        var line: Int?
        var module: String
        var count: Int
        var bytes: UInt64
    }

    struct Kind: Codable {
        /// `Python`, `C++`, `Swift`; absent for blocks that are no objects, which `name` gives the function of.
        var runtime: String?
        var name: String
        var countChange: Int
        var bytesChange: Int64
        /// Most bytes first; at most `sitesKept`.
        var sites: [Site]
    }

    var elapsedSeconds: Double
    /// The program was about to end, and waited to be read.
    var isAtExit: Bool?
    /// What the changes are against; absent for the start.
    var changeSinceSeconds: Double?
    /// How objects came to be counted.
    var ways: [String]?
    var problems: [String]
    var types: [Joined<ObjectSum, Kind>]

    static let sitesKept = 16
    /// A count that no process has: a sum of a few such must not overflow.
    static let countLimit = 1 << 40
}

extension CompanionObjects {
    init(_ table: TypeTable) {
        let types = table.rows.map { row in
            Joined<ObjectSum, CompanionObjectsDetails.Kind>(
                row.sum,
                CompanionObjectsDetails.Kind(
                    runtime: row.runtimeName, name: row.name, countChange: row.countChange,
                    bytesChange: row.bytesChange,
                    sites: row.sites.prefix(CompanionObjectsDetails.sitesKept)
                        .map(CompanionObjectsDetails.Site.init)))
        }
        self.init(
            table.reading,
            CompanionObjectsDetails(
                elapsedSeconds: table.elapsed, isAtExit: table.isAtExit ? true : nil,
                changeSinceSeconds: table.changeSince, ways: table.ways.isEmpty ? nil : table.ways,
                problems: table.problems, types: types))
    }

    var table: TypeTable {
        var result = TypeTable()
        result.reading = first
        func clamped(_ value: Int) -> Int { min(max(0, value), CompanionObjectsDetails.countLimit) }
        result.reading.processes = clamped(first.processes)
        result.reading.blocks = clamped(first.blocks)
        result.reading.tornEntries = clamped(first.tornEntries)
        result.elapsed = second.elapsedSeconds
        result.isAtExit = second.isAtExit ?? false
        result.changeSince = second.changeSinceSeconds
        result.ways = second.ways ?? []
        result.problems = second.problems
        result.rows = second.types.compactMap { $0.second.row($0.first) }
        result.rows = result.sorted(by: .live)
        return result
    }
}

extension CompanionObjectsDetails.Kind {
    /// nil where it cannot be: of a runtime that this version does not know.
    fileprivate func row(_ sum: ObjectSum) -> TypeRow? {
        let known = runtime.map { ObjectRuntime(rawValue: $0) } ?? nil
        if runtime != nil && known == nil { return nil }
        let limit = CompanionObjectsDetails.countLimit
        func clamped(_ value: Int) -> Int { min(max(value, -limit), limit) }
        var row = TypeRow(runtime: known, name: name)
        row.sum = sum
        row.sum.count = max(0, clamped(sum.count))
        row.sum.ownedBlocks = max(0, clamped(sum.ownedBlocks))
        row.sum.trackedCount = max(0, clamped(sum.trackedCount))
        row.countChange = clamped(countChange)
        row.bytesChange = bytesChange
        row.sites = sites.prefix(CompanionObjectsDetails.sitesKept).map { site in
            let frame = Frame(
                function: site.function, file: site.file, line: site.line, module: site.module,
                kind: Frame.kind(ofFunction: site.function, module: site.module))
            return TypeSite(frame: frame, count: max(0, clamped(site.count)), bytes: site.bytes)
        }
        return row
    }
}

extension CompanionObjectsDetails.Site {
    fileprivate init(_ site: TypeSite) {
        self.init(
            function: site.frame.function, file: site.frame.file, line: site.frame.line,
            module: site.frame.module, count: site.count, bytes: site.bytes)
    }
}
