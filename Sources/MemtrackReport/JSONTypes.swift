// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile

/// One type, or the blocks of one function that are no objects.
struct JSONType: Encodable {
    struct Site: Encodable {
        var frame: JSONFrame
        var count: Int
        var bytes: UInt64

        init(_ site: TypeSite) {
            frame = JSONFrame(site.frame)
            count = site.count
            bytes = site.bytes
        }

        enum CodingKeys: CodingKey { case count, bytes }

        func encode(to encoder: any Encoder) throws {
            try frame.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(count, forKey: .count)
            try container.encode(bytes, forKey: .bytes)
        }
    }

    /// `Python`, `C++`, `Swift`; null for what is no object.
    @OrNull var runtime: String?
    var name: String
    var count: Int
    /// Of the objects themselves.
    var bytes: UInt64
    /// Of blocks that belong to them alone.
    var ownedBlocks: Int
    var ownedBytes: UInt64
    var trackedCount: Int
    var countChange: Int
    /// Of `bytes` and `ownedBytes` together.
    var bytesChange: Int64
    var sites: [Site]

    /// - Parameter sites: how many.
    init(_ row: TypeRow, sites limit: Int) {
        runtime = row.runtimeName
        name = row.name
        count = row.count
        bytes = row.bytes
        ownedBlocks = row.ownedBlocks
        ownedBytes = row.ownedBytes
        trackedCount = row.trackedCount
        countChange = row.countChange
        bytesChange = row.bytesChange
        sites = row.sites.prefix(limit).map(Site.init)
    }
}

/// How the types of a moment were found.
struct JSONTypes: Encodable {
    var count: Int
    var trackedCount: Int
    var blocks: Int
    var bytes: UInt64
    var processes: Int
    /// At most so many blocks are missing, or not what they look like.
    var changedBlocks: UInt64
    var tornEntries: Int
    var unreadableBytes: UInt64
    var readingSeconds: Double
    /// Since the start of the session.
    var elapsedSeconds: Double
    /// The program was about to end, and waited to be read.
    var isAtExit: Bool
    /// Since when the rows' changes are; null for the start.
    @OrNull var changeSinceSeconds: Double?
    /// Why types are missing.
    var problems: [String]

    init(_ table: TypeTable) {
        count = table.objects
        trackedCount = table.trackedObjects
        blocks = table.blocks
        bytes = table.bytes
        processes = table.processes
        changedBlocks = table.changedBlocks
        tornEntries = table.tornEntries
        unreadableBytes = table.unreadableBytes
        readingSeconds = table.readingSeconds
        elapsedSeconds = table.elapsed
        isAtExit = table.isAtExit
        changeSinceSeconds = table.changeSince
        problems = table.problems
    }
}

struct JSONTypeReport: Encodable {
    var objects: JSONTypes
    var types: [JSONType]

    init(_ table: TypeTable) {
        objects = JSONTypes(table)
        types = table.rows.map { JSONType($0, sites: .max) }
    }
}
