// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The checkpoints of a run, a row each, with the program's marks where they fell.
struct TimelineView {
    let session: SessionSummary

    private func seconds(_ marker: RegionMarker) -> Double? {
        let start = session.startMonotonicNanoseconds
        guard start > 0, marker.monotonicNanoseconds >= start else { return nil }
        return Double(marker.monotonicNanoseconds - start) / 1e9
    }

    func write(to lines: inout TextLines) {
        let checkpoints = session.series.checkpoints
        if checkpoints.isEmpty {
            lines.paragraph("The profile has no checkpoints.", tone: .dim)
            return
        }
        var table = Table(
            columns: [
                .init(title: "time", dropOrder: 0), .init(title: "RSS", dropOrder: 0),
                .init(title: "total RSS", dropOrder: 3), .init(title: "live heap", dropOrder: 0),
                .init(title: "change", dropOrder: 2), .init(title: "allocations", dropOrder: 4),
            ], textTitle: "live heap")
        table.textMinimum = { _ in 10 }
        var markers = session.markers.filter { seconds($0) != nil }[...]
        let largest = checkpoints.map { $0.totals?.liveBytes ?? 0 }.max() ?? 0
        var before: Int64 = 0
        func add(marker: RegionMarker) {
            let time = "+" + FigureText.duration(seconds(marker) ?? 0)
            table.rows.append(
                Table.Row(
                    cells: [Span(time, .accent)] + Array(repeating: Span(""), count: 5),
                    text: {
                        [Span(DisplayWidth.truncateMiddle("◆ " + Escape.text(marker.label), to: $0), .accent)]
                    }))
        }
        for checkpoint in checkpoints {
            while let marker = markers.first, (seconds(marker) ?? 0) <= checkpoint.elapsed {
                add(marker: marker)
                markers.removeFirst()
            }
            let live = checkpoint.totals?.liveBytes
            let change = (live ?? 0) &- before
            before = live ?? before
            table.rows.append(
                Table.Row(
                    cells: [
                        Span("+" + FigureText.duration(checkpoint.elapsed)),
                        Span(checkpoint.figures.map { FigureText.bytes($0.rss) } ?? FigureText.nothing),
                        Span(checkpoint.figures.map { FigureText.bytes($0.totalRSS) } ?? FigureText.nothing),
                        Span(live.map { FigureText.bytes($0) } ?? FigureText.nothing, .bold),
                        Span.change(change),
                        Span(
                            checkpoint.totals.map { FigureText.count($0.allocations) } ?? FigureText.nothing),
                    ],
                    text: { [Span(SizeClassTable.bar(live ?? 0, of: largest, room: min($0, 40)), .accent)] }))
        }
        for marker in markers { add(marker: marker) }
        table.write(to: &lines)
    }

    var records: Records {
        var result = Records(
            columns: [
                "checkpoint", "unixSeconds", "elapsedSeconds", "marker", "rssBytes", "totalRssBytes",
                "children", "allocations", "allocatedBytes", "liveBlocks", "liveBytes",
            ])
        for checkpoint in session.series.checkpoints {
            let (figures, totals) = (checkpoint.figures, checkpoint.totals)
            result.rows.append([
                .integer(Int64(checkpoint.number)), .number(checkpoint.time.unixSeconds),
                .number(checkpoint.elapsed), .nothing, figures.map { .count($0.rss) } ?? .nothing,
                figures.map { .count($0.totalRSS) } ?? .nothing,
                figures.map { .integer(Int64($0.childCount)) } ?? .nothing,
                totals.map { .count($0.allocations) } ?? .nothing,
                totals.map { .count($0.allocatedBytes) } ?? .nothing,
                totals.map { .integer($0.liveBlocks) } ?? .nothing,
                totals.map { .integer($0.liveBytes) } ?? .nothing,
            ])
        }
        for marker in session.markers {
            guard let elapsed = seconds(marker) else { continue }
            result.rows.append(
                [
                    .nothing, .number(session.start.unixSeconds + elapsed), .number(elapsed),
                    .text(marker.label),
                ] + Array(repeating: .nothing, count: 7))
        }
        result.rows.sort { left, right in
            guard case .number(let a) = left[2], case .number(let b) = right[2] else { return false }
            return a < b
        }
        return result
    }
}
