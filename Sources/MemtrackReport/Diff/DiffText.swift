// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// What a diff is printed with.
public struct DiffOptions: Sendable {
    /// The figure to sort and judge by; nil for whatever changed most.
    public var figure: SampleType?
    public var limit = 20
    public var limits: [DiffLimit] = []
    /// Object types that are shown; nil for all.
    public var typeFilter: TypeFilter?

    public init() {}

    /// The figure with columns of its own: the one that the first row changed most in.
    func mainType(_ diff: ProfileDiff, _ rows: [DiffRow]) -> SampleType {
        if let figure { return figure }
        guard let first = rows.max(by: { abs(diff.weight($0, nil)) < abs(diff.weight($1, nil)) }) else {
            return .preferred
        }
        let weights = ProfileDiff.types.map { abs(diff.weight(first, $0)) }
        // Live before peak where they are equal: what is still there is the worse.
        let best = weights.indices.max { weights[$0] < weights[$1] - weights[$1] * 1e-9 } ?? 0
        return ProfileDiff.types[best]
    }
}

/// The two sides, as the heads of the text forms name them.
public struct DiffTitle: Sendable {
    public var old: String
    public var new: String
    /// What must be known before any figure; not escaped.
    public var notes: [String]

    public init(_ old: [LoadedProfile], _ new: [LoadedProfile]) {
        notes = DiffNotes.sentences(old, new)
        self.old = Self.text(old)
        self.new = Self.text(new)
    }

    private static func text(_ profiles: [LoadedProfile]) -> String {
        let names = profiles.map { Escape.text(Frame.baseName($0.name)) }
        let id = profiles.first?.buildID ?? ""
        let build = id.isEmpty ? "" : ", build \(id.prefix(12))"
        let runs = names.count > 1 ? " and \(names.count - 1) more" : ""
        return (names.first ?? "") + runs + build
    }
}

/// A diff for people.
public enum DiffText {
    public static func render(
        _ diff: ProfileDiff, types: TypeDiffResult, _ title: DiffTitle, layout: Layout, options: DiffOptions
    ) -> String {
        var lines = TextLines(layout)
        lines.rule("memtrack diff")
        lines.add([Span("  old  ", .dim), Span(title.old)])
        lines.add([Span("  new  ", .dim), Span(title.new)])
        for note in title.notes { lines.paragraph(Escape.text(note), mark: "! ", tone: .warning) }
        lines.blank()
        lines.section("Totals", diff.oldRuns + diff.newRuns > 2 ? "medians of the runs of each side" : "")
        writeTotals(diff, to: &lines)
        let all = diff.ranked(by: options.figure)
        let changed = all.filter { diff.weight($0, options.figure) != 0 }
        let type = options.mainType(diff, changed)
        lines.blank()
        let order = options.figure == nil ? "what changed most" : "by " + type.title
        lines.section(diff.unit.title, order + ", growth first")
        write(shown(changed, diff, options), of: diff, type, to: &lines)
        writeRest(all, changed, options, to: &lines)
        TypeDiffText.write(types, options, to: &lines)
        writeOffenders(diff, options, to: &lines)
        return lines.text
    }

    /// The largest changes either way, growth first.
    static func shown(_ changed: [DiffRow], _ diff: ProfileDiff, _ options: DiffOptions) -> [DiffRow] {
        if changed.count <= options.limit { return changed }
        let weights = changed.map { abs(diff.weight($0, options.figure)) }
        let places = changed.indices.sorted {
            weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1
        }
        return places.prefix(options.limit).sorted().map { changed[$0] }
    }

    private static func writeTotals(_ diff: ProfileDiff, to lines: inout TextLines) {
        var table = Table(
            columns: ["old", "new", "change", "%"].map { .init(title: $0, dropOrder: 0) }, textTitle: "")
        table.textMinimum = { _ in 12 }
        for type in ProfileDiff.types {
            guard let change = diff.totals[type] else { continue }
            table.rows.append(
                Table.Row(
                    cells: cells(change, type, isMain: true),
                    text: {
                        DisplayWidth.of(type.title) <= $0 ? [Span(type.title + noise(change), .dim)] : []
                    }))
        }
        table.write(to: &lines)
        if let reasons = diff.reasons(ProfileDiff.types.compactMap { diff.totals[$0] }) {
            lines.paragraph("≈ within noise: \(reasons).", tone: .dim)
        }
    }

    private static func noise(_ change: DiffChange) -> String { change.isNoise ? "   ≈ within noise" : "" }

    private static func cells(_ change: DiffChange, _ type: SampleType, isMain: Bool) -> [Span] {
        let tone: Tone =
            change.change == 0 || change.isNoise ? .dim : (change.change > 0 ? .rise : .fall)
        return [
            Span(type.text(change.old), .dim), Span(type.text(change.new), isMain ? .bold : .plain),
            Span(type.changeText(change.change), tone), Span(change.percentText, tone),
        ]
    }

    private static func write(
        _ rows: [DiffRow], of diff: ProfileDiff, _ main: SampleType, to lines: inout TextLines
    ) {
        if rows.isEmpty {
            lines.add([Span("  nothing changed", .dim)])
            return
        }
        let others = ProfileDiff.types.filter { $0 != main }
        var columns = [
            Table.Column(title: "old", dropOrder: 3), .init(title: "new", dropOrder: 2),
            .init(title: main.shortTitle + " change", dropOrder: 0), .init(title: "%", dropOrder: 1),
        ]
        columns += others.enumerated().map {
            .init(title: $0.element.shortTitle, dropOrder: 4 + $0.offset)
        }
        var table = Table(columns: columns, textTitle: "")
        let showsCallers = lines.layout.showsCallers
        for row in rows {
            let more = others.map { type -> Span in
                let change = row.change(type)
                return Span(type.changeText(change.change), change.isNoise ? .dim : .plain)
            }
            table.rows.append(
                Table.Row(
                    cells: cells(row.change(main), main, isMain: true) + more,
                    text: { row.spans(room: $0, isNoise: row.change(main).isNoise) },
                    detail: showsCallers ? { row.detail(room: $0) } : nil))
        }
        table.write(to: &lines)
    }

    private static func writeRest(
        _ all: [DiffRow], _ changed: [DiffRow], _ options: DiffOptions, to lines: inout TextLines
    ) {
        var parts: [String] = []
        if changed.count > options.limit {
            parts.append("\(changed.count - options.limit) more with smaller changes (--object-limit N)")
        }
        let types = options.figure.map { [$0] } ?? ProfileDiff.types
        let noisy = all.filter { row in types.contains { row.change($0).isNoise } }.count
        let kept = changed.filter { row in types.contains { row.change($0).isNoise } }.count
        if noisy > kept { parts.append("\(noisy - kept) within noise") }
        let same = all.filter { row in types.allSatisfy { row.change($0).change == 0 } }.count
        if same > 0 { parts.append("\(same) unchanged") }
        if !parts.isEmpty { lines.paragraph(parts.joined(separator: ", ") + ".", tone: .dim) }
    }

    private static func writeOffenders(
        _ diff: ProfileDiff, _ options: DiffOptions, to lines: inout TextLines
    ) {
        if options.limits.isEmpty { return }
        let offenders = diff.offenders(options.limits, chosen: options.figure)
        let suspects = diff.suspects(options.limits, chosen: options.figure)
        lines.blank()
        let limits = options.limits.map(\.text).joined(separator: ", ")
        if offenders.isEmpty {
            lines.section(
                "Nothing has grown by more than \(limits)" + (suspects.isEmpty ? "" : " beyond noise"))
        } else {
            lines.section("Grown by more than \(limits)")
        }
        write(offenders, mark: "! ", tone: .warning, options, to: &lines)
        if let reasons = diff.reasons(suspects.map(\.change)) {
            lines.paragraph("Within noise, because \(reasons):", tone: .dim)
            write(suspects, mark: "≈ ", tone: .dim, options, to: &lines)
        }
    }

    private static func write(
        _ offenders: [DiffOffender], mark: String, tone: Tone, _ options: DiffOptions,
        to lines: inout TextLines
    ) {
        for offender in offenders.prefix(options.limit) {
            lines.paragraph(offender.sentence, mark: mark, tone: tone)
        }
        if offenders.count > options.limit {
            lines.paragraph("and \(offenders.count - options.limit) more", tone: .dim)
        }
    }
}
