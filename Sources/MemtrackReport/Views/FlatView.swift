// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// A view with a row for each site, function, class or module, all columns alike.
struct FlatView {
    struct Row {
        /// Where there is no frame.
        var label = ""
        var frame: Frame?
        var counters: Counters
        /// Of a function: without what it calls.
        var own: Counters?
        var callers: [Frame] = []
        var sizeClass: UInt32?

        static func modules(_ profile: Profile) -> [Row] {
            var sums: [String: Counters] = [:]
            for site in profile.sites { sums[site.frame.module, default: Counters()] += site.counters }
            return sums.map { Row(label: $0.key, counters: $0.value) }
        }

        var sortKey: String { frame.map { "\($0.function) \($0.file ?? "") \($0.module)" } ?? label }
    }

    let rows: [Row]
    let whole: Counters
    let options: ViewOptions
    let kind: ReportView

    private static let columns: [(title: String, type: SampleType, dropOrder: Int)] = [
        ("live", .inuseObjects, 5), ("live size", .inuseSpace, 1), ("at peak", .peakSpace, 3),
        ("allocations", .allocObjects, 2), ("allocated", .allocSpace, 4),
        ("temporary", .temporaryObjects, 6),
    ]

    private var sorted: [Row] {
        let keyed = rows.map { (row: $0, key: $0.sortKey, weight: options.figure.value(of: $0.counters)) }
        return keyed.sorted { $0.weight != $1.weight ? $0.weight > $1.weight : $0.key < $1.key }.map(\.row)
    }

    func write(to lines: inout TextLines) {
        let total = Double(options.figure.value(of: whole))
        let ranked = sorted.filter { options.figure.value(of: $0.counters) != 0 }
        if ranked.isEmpty {
            lines.add([Span("  none", .dim)])
            return
        }
        var shown = ranked.prefix(options.limit).filter {
            Double(options.figure.value(of: $0.counters).magnitude) >= options.minimumShare * total
        }
        // The largest, in order of size.
        if kind == .classes { shown.sort { ($0.sizeClass ?? 0) < ($1.sizeClass ?? 0) } }
        let columns = columns(of: ranked)
        var heads = [Table.Column(title: "share", dropOrder: 0)]
        if kind == .functions { heads.append(Table.Column(title: "own", dropOrder: 0)) }
        heads += columns.map {
            Table.Column(title: $0.title, dropOrder: $0.type == options.figure ? 0 : $0.dropOrder)
        }
        var table = Table(columns: heads, textTitle: kind == .classes ? "size" : "")
        if kind == .classes { table.textMinimum = { _ in 16 } }
        func cells(_ counters: Counters, _ own: Counters?, _ tone: Tone) -> [Span] {
            var cells = [
                Span(FigureText.share(Double(options.figure.value(of: counters)), of: total), .dim)
            ]
            if kind == .functions { cells.append(Span(own.map { options.figure.text($0) } ?? "", tone)) }
            return cells
                + columns.map { column in
                    let isMain = column.type == options.figure && tone == .plain
                    return Span(column.type.text(counters), isMain ? .bold : tone)
                }
        }
        let showsCallers = lines.layout.showsCallers && kind == .sites
        for row in shown {
            table.rows.append(
                Table.Row(
                    cells: cells(row.counters, row.own, .plain), text: { text(row, room: $0) },
                    detail: showsCallers ? { FrameText.callers(row.callers, room: $0) } : nil))
        }
        let rest = ranked.count - shown.count
        if rest > 0 {
            let text = [Span("\(FigureText.count(Int64(rest))) more", .dim)]
            if kind == .functions {
                // Functions contain each other: a sum of them says nothing.
                let none = heads.map { _ in Span("") }
                table.rows.append(Table.Row(cells: none, text: { _ in text }))
            } else {
                var sum = Counters()
                for row in ranked { sum += row.counters }
                for row in shown { sum -= row.counters }
                table.rows.append(Table.Row(cells: cells(sum, nil, .dim), text: { _ in text }))
            }
        }
        table.write(to: &lines)
    }

    /// The figure's own column is always there, if need be as one more.
    private func columns(of rows: [Row]) -> [(title: String, type: SampleType, dropOrder: Int)] {
        let all = Self.columns
        if all.contains(where: { $0.type == options.figure }) { return all }
        return [("blocks at peak", options.figure, 0)] + all
    }

    private func text(_ row: Row, room: Int) -> [Span] {
        if let frame = row.frame { return FrameText.site(frame, room: room) }
        let label = row.label.isEmpty ? "(no module)" : Escape.text(row.label)
        return [Span(DisplayWidth.truncateMiddle(label, to: room))]
    }

    var records: Records {
        var columns: [String]
        switch kind {
        case .classes: columns = ["minimumBytes", "maximumBytes"]
        case .modules: columns = ["module"]
        default: columns = ["function", "file", "line", "module"]
        }
        let names = SampleType.allCases.map(\.rawValue)
        columns += names
        if kind == .functions { columns += names.map { "own_" + $0 } }
        return Records(
            columns: columns,
            rows: sorted.map { row in
                var cells: [Records.Cell]
                if let sizeClass = row.sizeClass {
                    let range = SizeClass.range(sizeClass)
                    cells = [.count(range.lowerBound), .count(range.upperBound)]
                } else if let frame = row.frame {
                    cells = Records.cells(of: frame)
                } else {
                    cells = [.text(row.label)]
                }
                cells += SampleType.allCases.map { .integer($0.value(of: row.counters)) }
                if kind == .functions, let own = row.own {
                    cells += SampleType.allCases.map { .integer($0.value(of: own)) }
                }
                return cells
            })
    }
}
