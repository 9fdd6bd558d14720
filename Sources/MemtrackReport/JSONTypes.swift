// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProfile

/// One type, or the blocks of one function that are no objects.
typealias JSONType = Joined<ObjectSum, JSONTypeDetails>

struct JSONTypeDetails: Encodable {
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
    var countChange: Int
    /// Of `bytes` and `ownedBytes` together.
    var bytesChange: Int64
    var sites: [Site]
}

extension JSONType {
    /// - Parameter sites: how many.
    init(_ row: TypeRow, sites limit: Int) {
        self.init(
            row.sum,
            JSONTypeDetails(
                runtime: row.runtimeName, name: row.name, countChange: row.countChange,
                bytesChange: row.bytesChange, sites: row.sites.prefix(limit).map(JSONTypeDetails.Site.init)))
    }
}

/// How the types of a moment were found.
typealias JSONTypes = Joined<CensusReading, JSONTypesDetails>

struct JSONTypesDetails: Encodable {
    var count: Int
    var trackedCount: Int
    /// Since the start of the session.
    var elapsedSeconds: Double
    /// The program was about to end, and waited to be read.
    var isAtExit: Bool
    /// Since when the rows' changes are; null for the start.
    @OrNull var changeSinceSeconds: Double?
    /// Why types are missing.
    var problems: [String]
}

extension JSONTypes {
    init(_ table: TypeTable) {
        self.init(
            table.reading,
            JSONTypesDetails(
                count: table.objects, trackedCount: table.trackedObjects, elapsedSeconds: table.elapsed,
                isAtExit: table.isAtExit, changeSinceSeconds: table.changeSince, problems: table.problems))
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
