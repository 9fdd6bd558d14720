// SPDX-License-Identifier: Apache-2.0

/// A table of figures with one last column of text that takes the room that is left.
///
/// Columns give way to a narrow terminal by their `dropOrder`: the highest goes first, 0 stays.
struct Table {
    struct Column {
        var title: String
        var dropOrder: Int
    }

    struct Row {
        /// As many as columns.
        var cells: [Span]
        /// Text of the last column for a given number of columns of room.
        var text: (Int) -> [Span]
        /// A line of its own under the text, beginning further left where the text has too little room for it.
        var detail: ((Int) -> [Span])?
        var isTotal = false
    }

    var columns: [Column]
    var textTitle: String
    var rows: [Row] = []
    /// Room that the text should have before columns are dropped for it.
    var textMinimum: (Layout) -> Int = { max(14, min(44, $0.width * 2 / 5)) }

    private static let margin = 2
    private static let gap = 2
    /// Columns that a detail needs to say something, and those it gets where the text has fewer than these.
    private static let detailMinimum = 40
    private static let detailRoom = 60
    private static let detailMargin = 6

    func write(to lines: inout TextLines) {
        var shown = Array(columns.indices)
        func width(_ column: Int) -> Int {
            rows.reduce(DisplayWidth.of(columns[column].title)) {
                max($0, DisplayWidth.of($1.cells[column].text))
            }
        }
        let widths = columns.indices.map(width)
        func used() -> Int { shown.reduce(Self.margin) { $0 + widths[$1] + Self.gap } }
        while used() + textMinimum(lines.layout) > lines.layout.width,
            let victim = shown.filter({ columns[$0].dropOrder > 0 }).max(by: {
                columns[$0].dropOrder < columns[$1].dropOrder
            })
        {
            shown.removeAll { $0 == victim }
        }
        let start = used()
        let room = max(0, lines.layout.width - start)
        let farStart =
            room >= Self.detailMinimum
            ? start : min(start, max(Self.detailMargin, lines.layout.width - Self.detailRoom))

        let heads = shown.map { Span(DisplayWidth.pad(columns[$0].title, to: widths[$0], right: true), .dim) }
        lines.add(Self.spaced(heads) + [Span(textTitle, .dim)])
        for row in rows {
            if row.isTotal {
                let blanks = String(repeating: " ", count: Self.margin)
                let rule = String(repeating: "─", count: max(0, lines.layout.width - Self.margin))
                lines.add([Span(blanks), Span(rule, .dim)])
            }
            let cells = shown.map { column in
                Span(
                    DisplayWidth.pad(row.cells[column].text, to: widths[column], right: true),
                    row.cells[column].tone)
            }
            lines.add(Self.spaced(cells) + row.text(room))
            guard let detail = row.detail?(room), !detail.isEmpty else { continue }
            let whole = row.detail?(lines.layout.width - farStart) ?? detail
            let isWhole = detail.map(\.text) == whole.map(\.text)
            lines.add(
                [Span(String(repeating: " ", count: isWhole ? start : farStart))] + (isWhole ? detail : whole)
            )
        }
    }

    private static func spaced(_ cells: [Span]) -> [Span] {
        var spans = [Span(String(repeating: " ", count: margin))]
        for cell in cells { spans += [cell, Span(String(repeating: " ", count: gap))] }
        return spans
    }
}
