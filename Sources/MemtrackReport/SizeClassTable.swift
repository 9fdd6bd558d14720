// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// Live blocks and allocations by size. The classes with most live memory, in order of size.
struct SizeClassTable {
    let shares: [SizeClassShare]
    let limit: Int

    func write(to lines: inout TextLines) {
        let live = { (share: SizeClassShare) in share.counters.liveBytes }
        let ranked = shares.indices.sorted {
            live(shares[$0]) != live(shares[$1])
                ? live(shares[$0]) > live(shares[$1])
                : shares[$0].counters.allocations != shares[$1].counters.allocations
                    ? shares[$0].counters.allocations > shares[$1].counters.allocations
                    : $0 < $1
        }
        let shown = ranked.prefix(max(0, limit)).sorted()
        let others = ranked.dropFirst(shown.count)
        let largest = shown.map { live(shares[$0]) }.max() ?? 0

        var table = Table(
            columns: [
                .init(title: "size", dropOrder: 0), .init(title: "live", dropOrder: 2),
                .init(title: "live size", dropOrder: 0), .init(title: "allocations", dropOrder: 1),
            ], textTitle: "")
        table.textMinimum = { _ in 0 }
        func add(_ label: Span, _ counters: Counters, bar: Int64) {
            table.rows.append(
                Table.Row(
                    cells: [
                        label, Span(FigureText.count(counters.liveBlocks)),
                        Span(FigureText.bytes(counters.liveBytes)),
                        Span(FigureText.count(counters.allocations)),
                    ],
                    text: { room in [Span(Self.bar(bar, of: largest, room: min(room, 30)), .accent)] }))
        }
        for index in shown {
            let share = shares[index]
            add(Span(Self.label(share.sizeClass)), share.counters, bar: live(share))
        }
        if !others.isEmpty {
            let rest = others.reduce(into: Counters()) { $0 += shares[$1].counters }
            add(Span("\(others.count) more", .dim), rest, bar: 0)
        }
        table.write(to: &lines)
    }

    /// `64-79 B`, `1.25-1.50 KB`; the upper end of large classes is shown as the next class's start.
    static func label(_ sizeClass: UInt32) -> String {
        let last = SizeClass.count - 1
        let range = SizeClass.range(min(sizeClass, last))
        if sizeClass >= last { return "≥ " + FigureText.shortBytes(range.lowerBound) }
        if range.upperBound < 1024 {
            return range.count == 1 ? "\(range.lowerBound) B" : "\(range.lowerBound)-\(range.upperBound) B"
        }
        let low = FigureText.shortBytes(range.lowerBound)
        let high = FigureText.shortBytes(range.upperBound + 1)
        let sameUnit = low.suffix(2) == high.suffix(2)
        return (sameUnit ? String(low.dropLast(3)) : low) + "-" + high
    }

    static func bar(_ value: Int64, of largest: Int64, room: Int) -> String {
        guard value > 0, largest > 0, room >= 8 else { return "" }
        let eighths = Int((Double(value) / Double(largest) * Double(room * 8)).rounded())
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        let bar = String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
        return bar.isEmpty ? "▏" : bar
    }
}
