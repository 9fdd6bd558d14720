// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProfile

/// What live memory was at the last look, by type. Sums over types are made anew when it is read.
struct CompanionObjects: Codable {
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
        var count: Int
        var bytes: UInt64
        var ownedBlocks: Int
        var ownedBytes: UInt64
        var trackedCount: Int
        var countChange: Int
        var bytesChange: Int64
        /// Most bytes first; at most `sitesKept`.
        var sites: [Site]
    }

    var elapsedSeconds: Double
    /// What the changes are against; absent for the start.
    var changeSinceSeconds: Double?
    var processes: Int
    var blocks: Int
    var bytes: UInt64
    var changedBlocks: UInt64
    var tornEntries: Int
    var unreadableBytes: UInt64
    var readingSeconds: Double
    var problems: [String]
    var types: [Kind]

    static let sitesKept = 16
}

extension CompanionObjects {
    init(_ table: TypeTable) {
        elapsedSeconds = table.elapsed
        changeSinceSeconds = table.changeSince
        processes = table.processes
        blocks = table.blocks
        bytes = table.bytes
        changedBlocks = table.changedBlocks
        tornEntries = table.tornEntries
        unreadableBytes = table.unreadableBytes
        readingSeconds = table.readingSeconds
        problems = table.problems
        types = table.rows.map { row in
            Kind(
                runtime: row.runtimeName, name: row.name, count: row.count, bytes: row.bytes,
                ownedBlocks: row.ownedBlocks, ownedBytes: row.ownedBytes, trackedCount: row.trackedCount,
                countChange: row.countChange, bytesChange: row.bytesChange,
                sites: row.sites.prefix(Self.sitesKept).map(Site.init))
        }
    }

    var table: TypeTable {
        var result = TypeTable()
        result.elapsed = elapsedSeconds
        result.changeSince = changeSinceSeconds
        result.processes = max(0, processes)
        result.blocks = max(0, blocks)
        result.bytes = bytes
        result.changedBlocks = changedBlocks
        result.tornEntries = max(0, tornEntries)
        result.unreadableBytes = unreadableBytes
        result.readingSeconds = readingSeconds
        result.problems = problems
        result.rows = types.compactMap(\.row)
        result.rows = result.sorted(by: .live)
        return result
    }
}

extension CompanionObjects.Kind {
    /// A count that no process has: a sum of a few such must not overflow.
    private static let countLimit = 1 << 40

    /// nil where it cannot be: of a runtime that this version does not know.
    fileprivate var row: TypeRow? {
        let known = runtime.map { ObjectRuntime(rawValue: $0) } ?? nil
        if runtime != nil && known == nil { return nil }
        func clamped(_ value: Int) -> Int { min(max(value, -Self.countLimit), Self.countLimit) }
        var row = TypeRow(runtime: known, name: name)
        row.count = max(0, clamped(count))
        row.bytes = bytes
        row.ownedBlocks = max(0, clamped(ownedBlocks))
        row.ownedBytes = ownedBytes
        row.trackedCount = max(0, clamped(trackedCount))
        row.countChange = clamped(countChange)
        row.bytesChange = bytesChange
        row.sites = sites.prefix(CompanionObjects.sitesKept).map { site in
            let frame = Frame(
                function: site.function, file: site.file, line: site.line, module: site.module,
                kind: Frame.kind(ofFunction: site.function, module: site.module))
            return TypeSite(frame: frame, count: max(0, clamped(site.count)), bytes: site.bytes)
        }
        return row
    }
}

extension CompanionObjects.Site {
    fileprivate init(_ site: TypeSite) {
        self.init(
            function: site.frame.function, file: site.frame.file, line: site.frame.line,
            module: site.frame.module, count: site.count, bytes: site.bytes)
    }
}
