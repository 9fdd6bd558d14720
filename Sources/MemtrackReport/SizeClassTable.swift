// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// Live blocks and allocations by size. The classes with most live memory, in order of size.
///
/// With sampling what is live is an estimate, and shown with its standard error. Allocations are counted one by one all the
/// same: these counts stand in the table, also of sizes that no sample has hit.
struct SizeClassTable {
    private let shares: [SizeClassShare]
    private let limit: Int
    private let sampling: Sampling?

    init(shares: [SizeClassShare], limit: Int, sampling: Sampling?) {
        self.shares = sampling?.withUnhit(shares) ?? shares
        self.limit = limit
        self.sampling = sampling
    }

    /// What the heading has to say of the figures.
    var exactness: String {
        guard let sampling else { return "" }
        return sampling.exact.isEmpty ? "; estimated" : "; live estimated, allocations exact"
    }

    func write(to lines: inout TextLines) {
        let live = { (share: SizeClassShare) in share.counters.liveBytes }
        let ranked = shares.indices.sorted {
            live(shares[$0]) != live(shares[$1])
                ? live(shares[$0]) > live(shares[$1])
                : allocations(shares[$0]) != allocations(shares[$1])
                    ? allocations(shares[$0]) > allocations(shares[$1]) : $0 < $1
        }
        let shown = ranked.prefix(max(0, limit)).sorted()
        let others = ranked.dropFirst(shown.count)
        let largest = shown.map { live(shares[$0]) }.max() ?? 0

        var table = Table(
            columns: [
                .init(title: "size", dropOrder: 0), .init(title: "live", dropOrder: 2),
                .init(title: "live size", dropOrder: 0), .init(title: "allocations", dropOrder: 1),
            ], textTitle: "")
        if sampling != nil { table.columns.insert(.init(title: "±", dropOrder: 1), at: 3) }
        table.textMinimum = { _ in 0 }
        func add(_ label: Span, _ rows: [SizeClassShare], bar: Int64) {
            let sum = rows.reduce(into: Counters()) { $0 += $1.counters }
            var cells = [
                label, Span(FigureText.count(sum.liveBlocks)), Span(FigureText.bytes(sum.liveBytes)),
                Span(FigureText.count(rows.reduce(UInt64(0)) { $0 &+ allocations($1) })),
            ]
            if let sampling {
                let error = sampling.standardError(.live, rows).bytes
                let share =
                    sum.liveBytes > 0
                    ? FigureText.share(error, of: Double(sum.liveBytes)) : FigureText.nothing
                cells.insert(Span(share, .dim), at: 3)
            }
            table.rows.append(
                Table.Row(
                    cells: cells,
                    text: { room in [Span(Self.bar(bar, of: largest, room: min(room, 30)), .accent)] }))
        }
        for index in shown {
            add(Span(Self.label(shares[index].sizeClass)), [shares[index]], bar: live(shares[index]))
        }
        if !others.isEmpty {
            add(Span("\(others.count) more", .dim), others.map { shares[$0] }, bar: 0)
        }
        table.write(to: &lines)
    }

    private func allocations(_ share: SizeClassShare) -> UInt64 {
        (sampling?.counted(share.sizeClass) ?? share.counters).allocations
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
