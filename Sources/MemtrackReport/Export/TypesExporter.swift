// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
public import MemtrackProfile

/// One row an object type, by size: runtime, name and counters under the names of the JSON. Blocks that are no objects
/// have no runtime, and the name of the function that allocated them.
public struct TypesCSVExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        guard let types = profile.summary.types else { throw .noTypes(profile.name) }
        return Array(Self.text(types.rows).utf8)
    }

    public static func text(_ rows: [TypeRow]) -> String {
        var csv = CSV()
        csv.row([
            "runtime", "name", "count", "bytes", "ownedBlocks", "ownedBytes", "trackedCount", "countChange",
            "bytesChange",
        ])
        for row in rows {
            csv.row([
                row.runtimeName ?? "", CSV.text(row.name), "\(row.count)", "\(row.bytes)",
                "\(row.ownedBlocks)",
                "\(row.ownedBytes)", "\(row.trackedCount)", "\(row.countChange)", "\(row.bytesChange)",
            ])
        }
        return csv.text
    }
}

/// Object types for a database of many profiles: one row a type, flat like those of `JSONLinesExporter`, of the
/// moment at which the objects were looked at.
public struct TypesJSONLinesExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        guard let types = profile.summary.types else { throw .noTypes(profile.name) }
        var json = JSONWriter()
        for row in types.rows {
            json.object { json in
                JSONLinesExporter.origin(of: profile, at: types.elapsed, options, to: &json)
                json.field("runtime", row.runtimeName ?? "")
                json.field("type", row.name)
                json.field("count", row.count)
                json.field("bytes", row.bytes)
                json.field("ownedBlocks", row.ownedBlocks)
                json.field("ownedBytes", row.ownedBytes)
                json.field("trackedCount", row.trackedCount)
            }
            json.lineFeed()
        }
        return json.bytes
    }
}
