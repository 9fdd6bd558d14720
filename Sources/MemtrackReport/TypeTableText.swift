// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
public import MemtrackProfile

/// The table of object types.
public struct TypeTableText {
    public struct Options: Sendable {
        /// Rows.
        public var limit: Int
        public var order: SiteOrder
        public var filter: TypeFilter?
        /// Places of allocation named for each type.
        public var sites: Int
        /// There is an earlier table that this one is compared with.
        public var showsChange = true

        public init(limit: Int = 10, order: SiteOrder = .live, filter: TypeFilter? = nil, sites: Int = 2) {
            self.limit = limit
            self.order = order
            self.filter = filter
            self.sites = sites
        }
    }

    let types: TypeTable
    let options: Options

    public init(types: TypeTable, options: Options) {
        self.types = types
        self.options = options
    }

    /// The table alone.
    /// - Parameter moment: seconds since the start at which the table was true, where that is not now.
    public func render(layout: Layout, asOf moment: Double? = nil) -> String {
        var lines = TextLines(layout)
        write(to: &lines, asOf: moment)
        return lines.text
    }

    /// - Parameter moment: seconds since the start at which the table was true, where that is not now.
    func write(to lines: inout TextLines, asOf moment: Double? = nil) {
        lines.section("Objects", types.processes > 0 ? explanation(asOf: moment) : "")
        if types.processes > 0 { writeRows(to: &lines) }
        for problem in types.problems {
            lines.paragraph(Escape.text(problem), mark: "! ", tone: .warning)
        }
        if types.processes > 0 { lines.paragraph(exactness, tone: .dim) }
        for way in types.ways { lines.paragraph(Escape.text(way), tone: .dim) }
    }

    private func explanation(asOf moment: Double?) -> String {
        let order =
            switch options.order {
            case .growth where moment == nil: "by growth since the last checkpoint"
            case .growth where !options.showsChange: "by size: with one look only, growth is not known"
            case .growth: "by growth"
            case .count: "by count"
            case .live, .allocated, .peak: "by size"
            }
        var text = order
        if let filter = options.filter { text += ", matching " + Escape.text(filter.text) }
        if let moment {
            let last = ", as of the last checkpoint at +" + FigureText.duration(moment)
            text += types.isAtExit ? ", at exit" : last
            if options.showsChange {
                text +=
                    ", change since "
                    + (types.changeSince.map { "+" + FigureText.duration($0) } ?? "the start")
            }
        }
        return text
    }

    private func writeRows(to lines: inout TextLines) {
        let all = types.sorted(by: options.order)
        if all.isEmpty {
            lines.add([Span("  nothing is live", .dim)])
            return
        }
        let admitted = options.filter.map { filter in all.filter(filter.admits) } ?? all
        let shown = admitted.prefix(max(0, options.limit))
        var columns: [Table.Column] = [.init(title: "count", dropOrder: 0)]
        if options.showsChange { columns.append(.init(title: "change", dropOrder: 3)) }
        columns += [.init(title: "own size", dropOrder: 4), .init(title: "size", dropOrder: 0)]
        if options.showsChange { columns.append(.init(title: "change", dropOrder: 1)) }
        var table = Table(columns: columns, textTitle: "type")
        for row in shown {
            table.rows.append(
                Table.Row(
                    cells: cells(row),
                    text: { Self.name(Escape.text(row.name), runtime: row.runtimeName, room: $0) },
                    detail: lines.layout.showsCallers ? { sites(row, room: $0) } : nil))
        }
        let rest = admitted.dropFirst(shown.count)
        let filtered = all.filter { row in options.filter.map { !$0.admits(row) } ?? false }
        let rests = [
            (rest.filter { $0.runtime != nil }, "more type", "more types", ""),
            (
                rest.filter { $0.runtime == nil }, "more site of blocks that are no objects",
                "more sites of blocks that are no objects", ""
            ), (filtered.filter { $0.runtime != nil }, "type", "types", " filtered out"),
            (
                filtered.filter { $0.runtime == nil }, "site of blocks that are no objects",
                "sites of blocks that are no objects", " filtered out"
            ),
        ]
        for (rest, one, many, end) in rests where !rest.isEmpty {
            let label = FigureText.plural(UInt64(rest.count), one, many) + end
            table.rows.append(
                Table.Row(
                    cells: cells(Self.sum(rest[...]), tone: .dim),
                    text: { [Span(DisplayWidth.truncateMiddle(label, to: $0), .dim)] }))
        }
        table.rows.append(
            Table.Row(
                cells: cells(Self.sum(all[...])),
                text: { room in
                    let text = totalTexts.first { DisplayWidth.of($0) <= room } ?? totalTexts.last ?? ""
                    return [Span(DisplayWidth.truncateMiddle(text, to: room), .bold)]
                }, isTotal: true))
        table.write(to: &lines)
    }

    /// From the whole to the shortest.
    private var totalTexts: [String] {
        let objects = "total: " + FigureText.plural(UInt64(types.objects), "object", "objects")
        let tracked =
            types.trackedObjects > 0
            ? " (" + FigureText.count(UInt64(types.trackedObjects)) + " GC-tracked)" : ""
        let count = types.rows.reduce(0) { $0 + ($1.runtime == nil ? $1.count : 0) }
        let others = count > 0 ? ", " + FigureText.plural(UInt64(count), "other block", "other blocks") : ""
        return [objects + tracked + others, objects + tracked, objects]
    }

    private func cells(_ row: TypeRow, tone: Tone = .plain) -> [Span] {
        let sizes = [
            Span(FigureText.bytes(row.bytes), tone),
            Span(FigureText.bytes(row.totalBytes), tone == .plain ? .bold : tone),
        ]
        let count = Span(FigureText.count(UInt64(max(0, row.count))), tone)
        guard options.showsChange else { return [count] + sizes }
        let countChange =
            row.countChange == 0
            ? FigureText.nothing : (row.countChange > 0 ? "+" : "") + FigureText.count(Int64(row.countChange))
        let tones: Tone = row.countChange == 0 ? .dim : (row.countChange > 0 ? .rise : .fall)
        return [count, Span(countChange, tones)] + sizes + [Span.change(row.bytesChange)]
    }

    private static func sum(_ rows: ArraySlice<TypeRow>) -> TypeRow {
        var sum = TypeRow(runtime: nil, name: "")
        for row in rows {
            sum.count += row.count
            sum.countChange += row.countChange
            sum.bytes &+= row.bytes
            sum.ownedBytes &+= row.ownedBytes
            sum.bytesChange &+= row.bytesChange
        }
        return sum
    }

    /// - Parameter name: escaped.
    static func name(_ name: String, runtime: String?, room: Int) -> [Span] {
        guard let runtime else {
            return [Span(DisplayWidth.truncateMiddle(name, to: room), .dim)]
        }
        let mark = "  " + runtime
        let free = room - DisplayWidth.of(mark)
        if free < DisplayWidth.of(name) {
            return [Span(DisplayWidth.truncateMiddle(name, to: room), .accent)]
        }
        return [Span(name, .accent), Span(mark, .dim)]
    }

    /// Where the objects come from: `in handler (bot.py:42) 80 %, …`.
    private func sites(_ row: TypeRow, room: Int) -> [Span] {
        guard row.runtime != nil else { return [] }
        return Self.sites(row.sites, of: Double(row.bytes), limit: options.sites, room: room)
    }

    static func sites(_ sites: [TypeSite], of whole: Double, limit: Int, room: Int) -> [Span] {
        guard whole > 0 else { return [] }
        let texts = sites.prefix(limit).map { site in
            FrameText.plain(site.frame) + " " + FigureText.share(Double(site.bytes), of: whole)
        }
        for count in stride(from: texts.count, to: 0, by: -1) {
            let text = "in " + texts.prefix(count).joined(separator: ", ")
            if count == 1 || DisplayWidth.of(text) <= room {
                return [Span(DisplayWidth.truncateMiddle(text, to: room), .dim)]
            }
        }
        return []
    }

    /// How far the figures can be off.
    private var exactness: String {
        var text =
            "\(FigureText.plural(UInt64(types.blocks), "block", "blocks")) read in "
            + FigureText.fixed(types.readingSeconds, digits: 2) + "s while the program went on; "
        text +=
            types.changedBlocks == 0
            ? "none changed meanwhile."
            : "at most \(FigureText.count(types.changedBlocks)) allocations and frees meanwhile: so many may be missing or "
                + "taken for what they were."
        if types.unreadableBytes > 0 {
            text += " \(FigureText.bytes(types.unreadableBytes)) could not be read."
        }
        return text
    }
}
