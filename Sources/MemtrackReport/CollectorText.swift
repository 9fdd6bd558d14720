// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// What Python's garbage collector has done, in one sentence: the shim keeps it in nine gauges, `gc.gen0.collections` and
/// so on. Of several processes, the sums.
struct CollectorText {
    private static let figures = ["collections", "collected", "uncollectable"]
    private var sums: [[Double]] = []
    /// The gauges that are the program's own.
    private(set) var others: [RegionGauge] = []

    init(_ gauges: [RegionGauge]) {
        var sums = [[Double]](repeating: [0, 0, 0], count: 3)
        var isKnown = false
        for gauge in gauges {
            let parts = gauge.name.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 3, parts[0] == "gc", parts[1].hasPrefix("gen"),
                let generation = Int(parts[1].dropFirst(3)), sums.indices.contains(generation),
                let figure = Self.figures.firstIndex(of: String(parts[2])), gauge.value.isFinite,
                gauge.value >= 0, gauge.value < 1e15
            else {
                others.append(gauge)
                continue
            }
            sums[generation][figure] += gauge.value
            isKnown = true
        }
        if isKnown { self.sums = sums }
    }

    /// Nothing where no collector reports.
    func write(to lines: inout TextLines) {
        guard !sums.isEmpty else { return }
        func total(_ figure: Int) -> UInt64 { UInt64(sums.reduce(0) { $0 + $1[figure] }) }
        let counts = sums.map { FigureText.count(UInt64($0[0])) }
        let uncollectable = total(2)
        lines.paragraph(
            "Garbage collector: \(counts[0]) collections of generation 0, \(counts[1]) of 1, \(counts[2]) of 2; "
                + FigureText.plural(total(1), "object", "objects") + " collected"
                + (uncollectable == 0 ? ", none uncollectable." : "."), tone: .dim)
        if uncollectable > 0 {
            lines.paragraph(
                FigureText.plural(uncollectable, "object is", "objects are")
                    + " in cycles that the garbage collector cannot free.", mark: "! ", tone: .warning)
        }
    }
}
