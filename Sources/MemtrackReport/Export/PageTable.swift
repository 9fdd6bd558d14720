// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// A table that the page shows as it is, beside those it makes of the samples: sortable, with a filter.
struct PageTable {
    enum Unit: String {
        case text
        /// Text with a line of text below it.
        case name
        case bytes
        case bytesChange = "bytes-change"
        case countChange = "count-change"
        /// A figure before and after, shown as a percentage.
        case growth
        case count
        case seconds
        case number
    }

    enum Cell {
        case text(String)
        case name(String, below: String)
        case number(Double?)
        case growth(Double, Double)
    }

    var id: String
    var title: String
    var columns: [(title: String, unit: Unit)]
    /// Place of the column that rows are sorted by at first, largest first; nil for the first column, smallest first.
    var sortedBy: Int?
    var rows: [[Cell]]

    /// Those that have something to say.
    static func all(_ profile: LoadedProfile, base: LoadedProfile?) -> [PageTable] {
        [
            types(profile, base: base), processes(profile.summary), checkpoints(profile.summary),
            gauges(profile.summary),
        ].filter { !$0.rows.isEmpty }
    }

    func write(to json: inout JSONWriter) {
        json.object { json in
            json.field("id", id)
            json.field("title", title)
            json.key("columns")
            json.array(of: columns) { json, column in
                json.array(of: [column.title, column.unit.rawValue]) { $0.value($1) }
            }
            json.key("sortedBy")
            if let sortedBy { json.value(sortedBy) } else { json.null() }
            json.key("rows")
            json.array(of: rows) { json, row in
                json.array(of: row) { json, cell in
                    switch cell {
                    case .text(let text): json.value(text)
                    case .name(let name, let below): json.array(of: [name, below]) { $0.value($1) }
                    case .number(let number): json.value(number)
                    case .growth(let before, let after): json.array(of: [before, after]) { $0.value($1) }
                    }
                }
            }
        }
    }

    private static func processes(_ summary: SessionSummary) -> PageTable {
        PageTable(
            id: "processes", title: "Processes",
            columns: [
                ("PID", .number), ("parent", .number), ("program", .text), ("state", .text),
                ("allocations", .count), ("allocated", .bytes), ("live", .bytes), ("at its peak", .bytes),
                ("RSS", .bytes),
            ],
            rows: summary.processes.map { process in
                [
                    .number(Double(process.pid)), .number(Double(process.parentPID)),
                    .text(process.executable),
                    .text(process.isAlive ? "running" : process.wasReplaced ? "replaced (exec)" : "ended"),
                    .number(process.totals.map { Double($0.allocations) }),
                    .number(process.totals.map { Double($0.allocatedBytes) }),
                    .number(process.wasReplaced ? nil : process.totals.map { Double($0.liveBytes) }),
                    .number(process.totals.map { Double($0.peakBytes) }),
                    .number(process.figures.map { Double($0.rss) }),
                ]
            })
    }

    private static func checkpoints(_ summary: SessionSummary) -> PageTable {
        PageTable(
            id: "checkpoints", title: "Checkpoints",
            columns: [
                ("number", .number), ("after", .seconds), ("RSS", .bytes), ("with children", .bytes),
                ("live", .bytes), ("live blocks", .count), ("allocations", .count), ("children", .count),
                ("threads", .count),
            ],
            rows: summary.series.checkpoints.map { point in
                [
                    .number(Double(point.number)), .number(point.elapsed),
                    .number(point.figures.map { Double($0.rss) }),
                    .number(point.figures.map { Double($0.totalRSS) }),
                    .number(point.totals.map { Double($0.liveBytes) }),
                    .number(point.totals.map { Double($0.liveBlocks) }),
                    .number(point.totals.map { Double($0.allocations) }),
                    .number(point.figures.map { Double($0.childCount) }),
                    .number(point.figures.map { Double($0.threads) }),
                ]
            })
    }

    private static func gauges(_ summary: SessionSummary) -> PageTable {
        PageTable(
            id: "gauges", title: "Gauges", columns: [("gauge", .text), ("value", .number)],
            rows: summary.gauges.map { [.text($0.name), .number($0.value)] })
    }
}
