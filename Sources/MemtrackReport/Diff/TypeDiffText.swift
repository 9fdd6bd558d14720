// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// What a diff knows of object types: the difference, or why there is none.
public typealias TypeDiffResult = Result<TypeDiff, TypeDiff.Absence>

/// The object types of a diff: as a table, and in Markdown.
struct TypeDiffText {
    let diff: TypeDiff
    let limit: Int
    let filter: TypeFilter?

    /// Nothing where nobody has asked for types.
    static func write(_ types: TypeDiffResult, _ options: DiffOptions, to lines: inout TextLines) {
        switch types {
        case .success(let diff):
            lines.blank()
            TypeDiffText(diff: diff, limit: options.limit, filter: options.typeFilter).write(to: &lines)
        case .failure(.profile(let name)):
            lines.blank()
            lines.section("Object types")
            lines.paragraph(absence(of: name), tone: .dim)
        case .failure(.bothSides): break
        }
    }

    static func absence(of name: String) -> String {
        "\(Escape.text(Frame.baseName(name))) has no object types: run with -o, it has those of the last look."
    }

    private var changed: [TypeDiffRow] { diff.rows.filter { TypeDiff.weight($0) != 0 } }

    /// The largest changes either way, growth first.
    private var shown: [TypeDiffRow] {
        if changed.count <= limit { return changed }
        let places = changed.indices.sorted {
            let (left, right) = (
                TypeDiff.weight(changed[$0]).magnitude, TypeDiff.weight(changed[$1]).magnitude
            )
            return left != right ? left > right : $0 < $1
        }
        return places.prefix(limit).sorted().map { changed[$0] }
    }

    private var explanation: String {
        "live at the last look, +\(FigureText.duration(diff.oldElapsed)) and +\(FigureText.duration(diff.newElapsed)), "
            + "growth first" + CheckpointText.filterText(filter?.text)
    }

    private func write(to lines: inout TextLines) {
        lines.section("Object types", explanation)
        var table = Table(
            columns: [
                .init(title: "old", dropOrder: 3), .init(title: "new", dropOrder: 2),
                .init(title: "size change", dropOrder: 0), .init(title: "%", dropOrder: 1),
                .init(title: "count", dropOrder: 5), .init(title: "count change", dropOrder: 4),
            ], textTitle: "type")
        let showsSites = lines.layout.showsCallers
        for row in shown {
            table.rows.append(
                Table.Row(
                    cells: cells(row.bytes, row.count), text: { Self.name(row, room: $0) },
                    detail: showsSites ? { Self.sites(row, room: $0) } : nil))
        }
        table.rows.append(
            Table.Row(
                cells: cells(diff.bytes, diff.count), text: { _ in [Span("total live", .bold)] },
                isTotal: true
            ))
        table.write(to: &lines)
        var rest: [String] = []
        if changed.count > limit {
            rest.append("\(changed.count - limit) more with smaller changes (--object-limit N)")
        }
        let noisy = diff.rows.filter { $0.bytes.isNoise }.count
        if noisy > 0 { rest.append("\(noisy) within noise") }
        let same = diff.rows.filter { $0.bytes.change == 0 }.count
        if same > 0 { rest.append("\(same) unchanged") }
        if !rest.isEmpty { lines.paragraph(rest.joined(separator: ", ") + ".", tone: .dim) }
    }

    private func cells(_ bytes: DiffChange, _ count: DiffChange) -> [Span] {
        let tone: Tone = bytes.change == 0 || bytes.isNoise ? .dim : (bytes.change > 0 ? .rise : .fall)
        return [
            Span(FigureText.bytes(bytes.old), .dim), Span(FigureText.bytes(bytes.new), .bold),
            Span(FigureText.change(bytes.change), tone), Span(bytes.percentText, tone),
            Span(FigureText.count(count.new)), Span(Self.countChange(count)),
        ]
    }

    static func countChange(_ count: DiffChange) -> String {
        SampleType.allocObjects.changeText(count.change)
    }

    private static func name(_ row: TypeDiffRow, room: Int) -> [Span] {
        let mark = mark(row)
        let left = max(8, room - DisplayWidth.of(mark))
        let spans = TypeTableText.name(title(row), runtime: row.runtimeName, room: left)
        return (mark.isEmpty ? [] : [Span(mark, .accent)]) + spans
    }

    /// Escaped.
    static func title(_ row: TypeDiffRow) -> String {
        row.runtime == nil ? "(no objects: see the call sites)" : Escape.text(row.name)
    }

    static func mark(_ row: TypeDiffRow) -> String {
        switch row.kind {
        case .new: "[new] "
        case .gone: "[gone] "
        case .both: ""
        }
    }

    private static func sites(_ row: TypeDiffRow, room: Int) -> [Span] {
        let own = row.sites.reduce(0.0) { $0 + Double($1.bytes) }
        return TypeTableText.sites(row.sites, of: own, limit: 2, room: room)
    }
}

extension TypeDiffText {
    /// A table for a comment on a pull request.
    static func markdown(_ diff: TypeDiff, _ options: DiffOptions, code: (String) -> String) -> String {
        let text = TypeDiffText(diff: diff, limit: options.limit, filter: options.typeFilter)
        let rows = text.shown
        if rows.isEmpty { return "\nNo object types changed.\n" }
        var result = "\n| object types | old | new | change | % | count |\n|---|--:|--:|--:|--:|--:|\n"
        for row in rows {
            let runtime = row.runtimeName.map { " " + $0 } ?? ""
            let cells = [
                code(mark(row) + title(row)) + runtime, FigureText.bytes(row.bytes.old),
                FigureText.bytes(row.bytes.new), FigureText.change(row.bytes.change), row.bytes.percentText,
                countChange(row.count),
            ]
            result += "| " + cells.joined(separator: " | ") + " |\n"
        }
        if text.changed.count > rows.count {
            result += "\n\(text.changed.count - rows.count) more with smaller changes.\n"
        }
        return result
    }
}
