// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What the program says of itself: a marker or a gauge, on a line each.
enum MarkText {
    /// - Parameter start: `CLOCK_MONOTONIC` of the start, where the line is to say when the marker was set.
    static func write(_ marker: RegionMarker, since start: UInt64? = nil, to lines: inout TextLines) {
        var text = Escape.text(marker.label)
        if let start, marker.monotonicNanoseconds >= start {
            let seconds = Double(marker.monotonicNanoseconds - start) / 1e9
            text = "+" + FigureText.duration(seconds) + "  " + text
        }
        lines.paragraph(text, mark: "◆ ", tone: .accent)
    }

    static func write(_ gauge: RegionGauge, to lines: inout TextLines) {
        lines.paragraph(
            Escape.text(gauge.name) + " = " + value(gauge.value), mark: "○ ", tone: .accent)
    }

    /// Whole numbers without a fraction: most gauges count something.
    private static func value(_ value: Double) -> String {
        if value.isNaN { return "not a number" }
        guard value.isFinite else { return value < 0 ? "-Infinity" : "Infinity" }
        return Int64(exactly: value).map { FigureText.count($0) } ?? "\(value)"
    }
}
