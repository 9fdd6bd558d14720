// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The process block of a checkpoint: what procfs says, beside the heap's total.
struct ProcessBlock {
    private struct Item {
        var label: String
        var value: String
        var change: Int64?
    }

    private static let labelWidth = 12
    private static let valueWidth = 10
    private static let changeWidth = 11
    private static let gap = 3

    let checkpoint: Checkpoint

    func write(to lines: inout TextLines) {
        let items = items()
        let cell = Self.labelWidth + Self.valueWidth + Self.changeWidth + 2
        let perRow = max(1, (lines.layout.width - 2 + Self.gap) / (cell + Self.gap))
        let rows = (items.count + perRow - 1) / perRow
        for row in 0..<rows {
            var spans = [Span("  ")]
            for item in items[(row * perRow)..<min(items.count, (row + 1) * perRow)] {
                let change = item.change.map(Span.change) ?? Span("")
                spans += [
                    Span(DisplayWidth.pad(item.label, to: Self.labelWidth, right: false) + " ", .dim),
                    Span(DisplayWidth.pad(item.value, to: Self.valueWidth, right: true) + " "),
                    Span(DisplayWidth.pad(change.text, to: Self.changeWidth, right: true), change.tone),
                    Span(String(repeating: " ", count: Self.gap)),
                ]
            }
            lines.add(spans)
        }
        if checkpoint.figures == nil {
            lines.paragraph("No figures of the process: it has ended, or /proc does not tell.", tone: .dim)
        }
        if let own = checkpoint.figures?.shimBytes, own > 0 {
            let more = lines.layout.isNarrow ? "  its own" : "  its own, not in the figures above"
            lines.add([
                Span("  " + DisplayWidth.pad("memtrack", to: Self.labelWidth, right: false) + " ", .dim),
                Span(DisplayWidth.pad(FigureText.bytes(own), to: Self.valueWidth, right: true), .dim),
                Span(more, .dim),
            ])
        }
    }

    private func items() -> [Item] {
        var items: [Item] = []
        let before = checkpoint.previousFigures
        if let now = checkpoint.figures {
            func size(_ label: String, _ path: (ProcessFigures) -> UInt64?) -> Item? {
                guard let value = path(now) else { return nil }
                let change = before.flatMap(path).map { Int64(clamping: value) &- Int64(clamping: $0) }
                return Item(label: label, value: FigureText.bytes(value), change: change)
            }
            items += [size("RSS") { $0.rss }, size("peak RSS") { $0.peakRSS }, size("VMS") { $0.vms }]
                .compactMap { $0 }
            items += [size("PSS") { $0.pss }, size("swap") { $0.swap }].compactMap { $0 }
            if let share = now.ramShare {
                items.append(Item(label: "of RAM", value: FigureText.share(share, of: 1)))
            }
            if now.childCount > 0 || (before?.childCount ?? 0) > 0 {
                let label = now.childCount == 1 ? "1 child" : "\(now.childCount) children"
                items += [size(label) { $0.childrenRSS }, size("total RSS") { $0.totalRSS }].compactMap { $0 }
            }
            items.append(Item(label: "threads", value: FigureText.count(UInt64(max(0, now.threads)))))
        }
        if let objects = checkpoint.objects {
            items.append(
                Item(
                    label: "live heap", value: FigureText.bytes(objects.totals.liveBytes),
                    change: checkpoint.number > 1 ? objects.liveChange : nil))
        }
        return items
    }
}
