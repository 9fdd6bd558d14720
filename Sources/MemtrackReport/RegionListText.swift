// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials

/// The table of `memtrack list`.
public enum RegionListText {
    /// - Parameters:
    ///   - hidden: how many older ones are not among the entries.
    ///   - lost: processes that found no room for a region.
    public static func render(
        _ entries: [RegionListEntry], hidden: Int = 0, lost: Int = 0, layout: Layout
    ) -> String {
        guard !entries.isEmpty || lost > 0 else {
            return "No regions. Start a program with: memtrack-preload PROGRAM\n"
        }
        var lines = TextLines(layout)
        var table = Table(
            columns: [
                .init(title: "PID", dropOrder: 0), .init(title: "state", dropOrder: 1),
                .init(title: "live", dropOrder: 2), .init(title: "allocations", dropOrder: 3),
                .init(title: "region", dropOrder: 4),
            ],
            textTitle: "program")
        for entry in entries {
            let state = state(entry)
            let tone: Tone = entry.isAlive || entry.isElsewhere ? .plain : .dim
            let words = entry.arguments.isEmpty ? [entry.program] : entry.arguments
            let program = entry.problem ?? words.joined(separator: " ")
            let cells = [
                Span(String(entry.pid), tone), Span(state, tone),
                Span(FigureText.bytes(entry.liveBytes), tone),
                Span(FigureText.count(entry.allocations), tone),
                Span(FigureText.bytes(entry.residentBytes), tone),
            ]
            let text = Escape.text(program)
            table.rows.append(
                Table.Row(
                    cells: cells,
                    text: { room in [Span(DisplayWidth.truncateMiddle(text, to: room), tone)] }))
        }
        table.write(to: &lines)
        if hidden > 0 {
            let rest = FigureText.plural(UInt64(hidden), "older one", "older ones")
            lines.paragraph("\(rest) of ended processes not shown; --all shows them.", tone: .dim)
        }
        if lost > 0 {
            let count = FigureText.plural(UInt64(lost), "process", "processes")
            lines.paragraph(
                "\(count) found no room to count in (a full /dev/shm, ulimit -f or ulimit -v).", tone: .dim)
        }
        lines.blank()
        lines.paragraph(
            "memtrack report --pid N shows one; memtrack clean removes those that have ended.", tone: .dim)
        return lines.text
    }

    private static func state(_ entry: RegionListEntry) -> String {
        if entry.isOfOtherVersion && !entry.isAlive { return "ended" }
        if entry.problem != nil { return "unreadable" }
        if entry.isElsewhere { return "elsewhere" }
        return entry.isAlive ? "running" : "ended"
    }

    public static func json(_ entries: [RegionListEntry]) throws(ReportError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(entries), as: UTF8.self) + "\n"
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }
}
