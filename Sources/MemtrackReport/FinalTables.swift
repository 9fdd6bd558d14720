// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The tables of sites of a final report: one view of the same sites each.
struct FinalTables {
    let profile: Profile
    /// Sites that the filter admits.
    let sites: [Site]
    let limit: Int
    let callers: Int

    private struct View {
        var order: SiteOrder
        var columns: [Table.Column]
        /// Cells of some counters; `emphasis` is the tone of the figure that the view is sorted by.
        var cells: (_ counters: Counters, _ totals: Counters, _ tone: Tone, _ emphasis: Tone) -> [Span]
        /// The figure that decides whether a site belongs in the view at all.
        var measure: (Counters) -> Int64
        /// The figure whose error is shown where it is an estimate, and in which column.
        var figure: Sampling.Figure
        var figureColumn: Int
    }

    /// Rows by what was live at the peak.
    func writePeak(to lines: inout TextLines) {
        write(
            View(
                order: .peak,
                columns: [
                    .init(title: "blocks", dropOrder: 2), .init(title: "size", dropOrder: 0),
                    .init(title: "share", dropOrder: 1), .init(title: "allocations", dropOrder: 3),
                    .init(title: "average", dropOrder: 4),
                ],
                cells: { counters, totals, tone, emphasis in
                    [
                        Span(FigureText.count(counters.peakBlocks), tone),
                        Span(FigureText.bytes(counters.peakBytes), emphasis),
                        Self.share(counters.peakBytes, totals.peakBytes), Self.allocations(counters, tone),
                        Self.average(counters, tone),
                    ]
                }, measure: { $0.peakBytes }, figure: .peak, figureColumn: 1), to: &lines)
    }

    /// Rows by what was never freed.
    func writeLive(to lines: inout TextLines) {
        write(
            View(
                order: .live,
                columns: [
                    .init(title: "blocks", dropOrder: 2), .init(title: "size", dropOrder: 0),
                    .init(title: "share", dropOrder: 1), .init(title: "allocations", dropOrder: 3),
                    .init(title: "average", dropOrder: 4),
                ],
                cells: { counters, totals, tone, emphasis in
                    [
                        Span(FigureText.count(counters.liveBlocks), tone),
                        Span(FigureText.bytes(counters.liveBytes), emphasis),
                        Self.share(counters.liveBytes, totals.liveBytes), Self.allocations(counters, tone),
                        Self.average(counters, tone),
                    ]
                }, measure: { $0.liveBytes }, figure: .live, figureColumn: 1), to: &lines)
    }

    /// Rows by number of allocations.
    func writeCount(to lines: inout TextLines) {
        write(
            View(
                order: .count,
                columns: [
                    .init(title: "allocations", dropOrder: 0), .init(title: "share", dropOrder: 1),
                    .init(title: "allocated", dropOrder: 3), .init(title: "temporary", dropOrder: 2),
                    .init(title: "average", dropOrder: 4),
                ],
                cells: { counters, totals, tone, emphasis in
                    [
                        Self.allocations(counters, emphasis),
                        Self.share(
                            Int64(clamping: counters.allocations), Int64(clamping: totals.allocations)),
                        Span(FigureText.bytes(counters.allocatedBytes), tone),
                        Self.share(
                            Int64(clamping: counters.temporary), Int64(clamping: counters.allocations)),
                        Self.average(counters, tone),
                    ]
                }, measure: { Int64(clamping: $0.allocations) }, figure: .allocated, figureColumn: 0),
            to: &lines)
    }

    private func write(_ view: View, to lines: inout TextLines) {
        let ranked = view.order.sorted(
            sites.filter { view.measure($0.counters) != 0 }, of: profile.table)
        if ranked.isEmpty {
            lines.add([Span("  none", .dim)])
            return
        }
        var columns = view.columns
        if profile.sampling != nil {
            columns.insert(.init(title: "±", dropOrder: 1), at: view.figureColumn + 1)
        }
        var table = Table(columns: columns, textTitle: "site")
        let showsCallers = lines.layout.showsCallers && callers > 0
        for site in ranked.prefix(max(0, limit)) {
            let above =
                showsCallers
                ? profile.table.callers(of: site.heaviestStack(by: view.order), limit: callers) : []
            table.rows.append(
                Table.Row(
                    cells: withError(
                        view.cells(site.counters, profile.totals, .plain, .bold), view, of: [site]),
                    text: { FrameText.site(site.frame, room: $0) },
                    detail: showsCallers ? { FrameText.callers(above, room: $0) } : nil))
        }
        let rest = ranked.dropFirst(max(0, limit))
        if !rest.isEmpty {
            let sum = rest.reduce(into: Counters()) { $0 += $1.counters }
            let label = FigureText.plural(UInt64(rest.count), "more site", "more sites")
            table.rows.append(
                Table.Row(
                    cells: withError(view.cells(sum, profile.totals, .dim, .dim), view, of: Array(rest)),
                    text: { [Span(DisplayWidth.truncateMiddle(label, to: $0), .dim)] }))
        }
        table.write(to: &lines)
    }

    /// With the standard error of the view's figure behind it, as a share of it, where figures are estimates.
    private func withError(_ cells: [Span], _ view: View, of sites: [Site]) -> [Span] {
        guard let sampling = profile.sampling else { return cells }
        let error = sampling.standardError(view.figure, sites.flatMap(\.sizeClasses))
        let sum = sites.reduce(into: Counters()) { $0 += $1.counters }
        let text =
            view.figure == .allocated
            ? FigureText.share(error.blocks, of: Double(sum.allocations))
            : FigureText.share(error.bytes, of: Double(max(0, view.measure(sum))))
        var result = cells
        result.insert(Span(text, .dim), at: view.figureColumn + 1)
        return result
    }

    private static func share(_ part: Int64, _ whole: Int64) -> Span {
        Span(FigureText.share(Double(part), of: Double(whole)), .dim)
    }

    private static func allocations(_ counters: Counters, _ tone: Tone) -> Span {
        Span(FigureText.count(counters.allocations), tone)
    }

    private static func average(_ counters: Counters, _ tone: Tone) -> Span {
        let average = counters.allocations == 0 ? 0 : counters.allocatedBytes / counters.allocations
        return Span(FigureText.bytes(average), tone)
    }
}
