// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile

/// Start, end, peak and average over the checkpoints, a line for each figure.
struct SeriesTable {
    let series: Series

    func write(to lines: inout TextLines) {
        var table = Table(
            columns: [
                .init(title: "start", dropOrder: 3), .init(title: "end", dropOrder: 0),
                .init(title: "change", dropOrder: 1), .init(title: "peak", dropOrder: 0),
                .init(title: "average", dropOrder: 2),
            ], textTitle: "")
        table.textMinimum = { _ in 9 }
        func add(_ label: String, _ figure: SeriesFigure) {
            guard figure.count > 0 else { return }
            table.rows.append(
                Table.Row(
                    cells: [
                        Span(FigureText.bytes(figure.start)), Span(FigureText.bytes(figure.end), .bold),
                        Span.change(figure.change), Span(FigureText.bytes(figure.peak)),
                        Span(FigureText.bytes(figure.average)),
                    ],
                    text: { room in
                        let peak = "peak at checkpoint \(figure.peakNumber)"
                        let fits = DisplayWidth.of(label) + DisplayWidth.of(peak) + 3 <= room
                        return [Span(label), Span(fits ? "   " + peak : "", .dim)]
                    }))
        }
        add("RSS", series.rss)
        if series.totalRSS != series.rss { add("total RSS", series.totalRSS) }
        add("live heap", series.live)
        table.write(to: &lines)
    }
}
