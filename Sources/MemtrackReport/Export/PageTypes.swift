// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProfile

extension PageTable {
    private static let sitesShown = 3

    /// Object types of one profile, or of two that both have them.
    static func types(_ profile: LoadedProfile, base: LoadedProfile?) -> PageTable {
        guard let base else { return types(profile.summary.types ?? TypeTable()) }
        guard let diff = try? TypeDiff(old: [base], new: [profile]) else { return types(TypeTable()) }
        return types(diff)
    }

    private static func types(_ table: TypeTable) -> PageTable {
        PageTable(
            id: "types", title: "Object types",
            columns: [
                ("count", .count), ("change", .countChange), ("own size", .bytes), ("owned", .bytes),
                ("size", .bytes), ("change", .bytesChange), ("type, allocated in", .name),
            ], sortedBy: 4,
            rows: table.rows.map { row in
                [
                    .number(Double(row.count)), .number(Double(row.countChange)), .number(Double(row.bytes)),
                    .number(Double(row.ownedBytes)), .number(Double(row.totalBytes)),
                    .number(Double(row.bytesChange)),
                    .name(name(row.name, row.runtimeName), below: places(row.sites, of: row.bytes)),
                ]
            })
    }

    private static func types(_ diff: TypeDiff) -> PageTable {
        PageTable(
            id: "types", title: "Object types",
            columns: [
                ("old", .bytes), ("new", .bytes), ("change", .bytesChange), ("%", .growth),
                ("old count", .count),
                ("new count", .count), ("change", .countChange), ("type, allocated in", .name),
            ], sortedBy: 2,
            rows: diff.rows.map { row in
                let name =
                    row.runtimeName == nil ? "(no objects: see the sites)" : name(row.name, row.runtimeName)
                let own = row.sites.reduce(0) { $0 &+ $1.bytes }
                return [
                    .number(Double(row.bytes.old)), .number(Double(row.bytes.new)),
                    .number(Double(row.bytes.change)),
                    .growth(Double(row.bytes.old), Double(row.bytes.new)), .number(Double(row.count.old)),
                    .number(Double(row.count.new)), .number(Double(row.count.change)),
                    .name(name, below: places(row.sites, of: own)),
                ]
            })
    }

    private static func name(_ name: String, _ runtime: String?) -> String {
        runtime.map { "\(name)  \($0)" } ?? name
    }

    /// `handler (bot.py:42) 80.0 %, …`; the writer of the page escapes it.
    private static func places(_ sites: [TypeSite], of whole: UInt64) -> String {
        sites.prefix(sitesShown).map { site in
            let file =
                site.frame.fileName.map { " (\($0)" + (site.frame.line.map { ":\($0)" } ?? "") + ")" } ?? ""
            return site.frame.function + file + " " + FigureText.share(Double(site.bytes), of: Double(whole))
        }.joined(separator: ", ")
    }
}
