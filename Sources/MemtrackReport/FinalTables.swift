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
                }, measure: { $0.peakBytes }), to: &lines)
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
                }, measure: { $0.liveBytes }), to: &lines)
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
                }, measure: { Int64(clamping: $0.allocations) }), to: &lines)
    }

    private func write(_ view: View, to lines: inout TextLines) {
        let ranked = view.order.sorted(sites.filter { view.measure($0.counters) != 0 })
        if ranked.isEmpty {
            lines.add([Span("  none", .dim)])
            return
        }
        var table = Table(columns: view.columns, textTitle: "site")
        let showsCallers = lines.layout.showsCallers && callers > 0
        for site in ranked.prefix(max(1, limit)) {
            let above =
                showsCallers
                ? profile.table.callers(of: site.heaviestStack(by: view.order), limit: callers) : []
            table.rows.append(
                Table.Row(
                    cells: view.cells(site.counters, profile.totals, .plain, .bold),
                    text: { FrameText.site(site.frame, room: $0) },
                    detail: showsCallers ? { FrameText.callers(above, room: $0) } : nil))
        }
        let rest = ranked.dropFirst(max(1, limit))
        if !rest.isEmpty {
            let sum = rest.reduce(into: Counters()) { $0 += $1.counters }
            let label = FigureText.plural(UInt64(rest.count), "more site", "more sites")
            table.rows.append(
                Table.Row(
                    cells: view.cells(sum, profile.totals, .dim, .dim),
                    text: { [Span(DisplayWidth.truncateMiddle(label, to: $0), .dim)] }))
        }
        table.write(to: &lines)
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
