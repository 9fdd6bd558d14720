// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// A checkpoint as text: process block, site table, size classes, markers and gauges.
public enum CheckpointText {
    /// - Parameter sizeClassLimit: rows of the size-class table; 0 leaves it out.
    public static func render(
        _ checkpoint: Checkpoint, layout: Layout, sizeClassLimit: Int = 10,
        types options: TypeTableText.Options = TypeTableText.Options()
    ) -> String {
        var lines = TextLines(layout)
        let time = checkpoint.time.components
        let clock = [time.hour, time.minute, time.second].map(FigureText.two).joined(separator: ":")
        lines.rule(
            "Checkpoint \(checkpoint.number)",
            [
                clock, "\(Escape.text(checkpoint.program)) (\(checkpoint.pid))",
                "+" + FigureText.duration(checkpoint.elapsed),
            ])
        ProcessBlock(checkpoint: checkpoint).write(to: &lines)
        for problem in checkpoint.problems {
            lines.paragraph(Escape.text(problem), mark: "! ", tone: .warning)
        }
        for marker in checkpoint.markers { MarkText.write(marker, to: &lines) }
        let collector = CollectorText(checkpoint.gauges)
        for gauge in checkpoint.types == nil ? checkpoint.gauges : collector.others {
            MarkText.write(gauge, to: &lines)
        }
        if let types = checkpoint.types {
            lines.blank()
            TypeTableText(types: types, options: options).write(to: &lines)
            collector.write(to: &lines)
        }
        if let objects = checkpoint.objects {
            lines.blank()
            writeSites(objects, interval: checkpoint.interval, to: &lines)
            if sizeClassLimit > 0 && !objects.sizeClasses.isEmpty {
                lines.blank()
                let table = SizeClassTable(
                    shares: objects.sizeClasses, limit: sizeClassLimit, sampling: objects.sampling)
                lines.section(
                    "Size classes", "the \(sizeClassLimit) with most live memory" + table.exactness)
                table.write(to: &lines)
            }
        }
        lines.blank()
        return lines.text
    }

    private static func writeSites(
        _ objects: Checkpoint.Objects, interval: Double, to lines: inout TextLines
    ) {
        lines.section(
            "Sites",
            "by " + orderText(objects.order) + filterText(objects.filter) + samplingText(objects.sampling))
        var table = Table(
            columns: [
                .init(title: "live", dropOrder: 3), .init(title: "size", dropOrder: 0),
                .init(title: "change", dropOrder: 1), .init(title: "allocations", dropOrder: 4),
                .init(title: "rate", dropOrder: 5), .init(title: "average", dropOrder: 6),
            ], textTitle: "site")
        func cells(_ counters: Counters, change: Int64, new: UInt64, tone: Tone = .plain) -> [Span] {
            let average = counters.allocations == 0 ? 0 : counters.allocatedBytes / counters.allocations
            return [
                Span(FigureText.count(counters.liveBlocks), tone),
                Span(FigureText.bytes(counters.liveBytes), tone == .plain ? .bold : tone),
                Span.change(change), Span(FigureText.count(counters.allocations), tone),
                Span(FigureText.rate(new, seconds: interval), tone), Span(FigureText.bytes(average), tone),
            ]
        }
        let showsCallers = lines.layout.showsCallers
        for row in objects.rows {
            table.rows.append(
                Table.Row(
                    cells: cells(row.counters, change: row.liveChange, new: row.newAllocations),
                    text: { FrameText.site(row.frame, room: $0) },
                    detail: showsCallers ? { FrameText.callers(row.callers, room: $0) } : nil))
        }
        let rests = [
            (objects.remaining, "more site", "more sites"),
            (objects.filtered, "site filtered out", "sites filtered out"),
        ]
        for (rest, one, many) in rests where rest.count > 0 {
            let label = FigureText.plural(UInt64(rest.count), one, many)
            table.rows.append(
                Table.Row(
                    cells: cells(
                        rest.counters, change: rest.liveChange, new: rest.newAllocations, tone: .dim),
                    text: { [Span(DisplayWidth.truncateMiddle(label, to: $0), .dim)] }))
        }
        table.rows.append(
            Table.Row(
                cells: cells(objects.totals, change: objects.liveChange, new: objects.newAllocations),
                text: { _ in [Span("total", .bold)] }, isTotal: true))
        table.write(to: &lines)
    }

    static func orderText(_ order: SiteOrder) -> String {
        switch order {
        case .live: "live size"
        case .count: "number of allocations"
        case .allocated: "bytes allocated"
        case .growth: "growth since the last checkpoint"
        case .peak: "size at the peak"
        }
    }

    static func samplingText(_ sampling: Sampling?) -> String {
        sampling.map { ", estimated from a sample every " + FigureText.shortBytes($0.periodBytes) } ?? ""
    }

    static func filterText(_ filter: String?) -> String {
        filter.map { ", matching " + Escape.text($0) } ?? ""
    }
}
