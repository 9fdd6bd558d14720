// SPDX-License-Identifier: Apache-2.0

/// Figures as text. Sizes are in powers of 1024, counts are exact.
public enum FigureText {
    /// What stands for "nothing" in a column of figures.
    static let nothing = "·"

    /// `512 B`, `15.23 MB`, `-3.00 KB`.
    static func bytes(_ value: Int64) -> String {
        (value < 0 ? "-" : "") + bytes(value.magnitude)
    }

    public static func bytes(_ value: UInt64) -> String {
        if value < 1024 { return "\(value) B" }
        let units = ["KB", "MB", "GB", "TB", "PB", "EB"]
        var scaled = Double(value) / 1024
        var unit = 0
        // 1023.995 would be rounded to "1024.00".
        while scaled >= 1023.995 && unit < units.count - 1 {
            scaled /= 1024
            unit += 1
        }
        return fixed(scaled, digits: 2) + " " + units[unit]
    }

    /// Sizes that are exact powers or small: `64 KB` rather than `64.00 KB`.
    static func shortBytes(_ value: UInt64) -> String {
        let text = bytes(value)
        return text.contains(".00 ") ? String(text.dropLast(6)) + text.suffix(3) : text
    }

    static func count(_ value: UInt64) -> String {
        var digits = Array(String(value).utf8)
        var place = digits.count - 3
        while place > 0 {
            digits.insert(UInt8(ascii: ","), at: place)
            place -= 3
        }
        return String(decoding: digits, as: UTF8.self)
    }

    static func count(_ value: Int64) -> String {
        (value < 0 ? "-" : "") + count(value.magnitude)
    }

    public static func plural(_ value: UInt64, _ one: String, _ many: String) -> String {
        count(value) + " " + (value == 1 ? one : many)
    }

    /// `+1.20 MB`, `-3 B`, `·`.
    static func change(_ value: Int64) -> String {
        value == 0 ? nothing : (value > 0 ? "+" : "") + bytes(value)
    }

    /// Events in a time, by the second: `1,204/s`, `3.4/s`, `·`.
    static func rate(_ events: UInt64, seconds: Double) -> String {
        guard events > 0, seconds > 0, seconds.isFinite else { return nothing }
        let rate = Double(events) / seconds
        if rate >= 9.95 { return count(UInt64(min(rate.rounded(), 1e18))) + "/s" }
        return rate >= 0.05 ? fixed(rate, digits: 1) + "/s" : "<0.1/s"
    }

    /// Part of a whole: `12.3 %`; `·` where there is no whole.
    static func share(_ part: Double, of whole: Double) -> String {
        guard whole > 0, part.isFinite, whole.isFinite else { return nothing }
        if part == 0 { return "0 %" }
        let percent = part / whole * 100
        if abs(percent) < 0.05 { return "<0.1 %" }
        return fixed(percent, digits: 1) + " %"
    }

    /// `12.3s`, `1m 05s`, `2h 05m`, `3d 04h`.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e15 else { return "?" }
        if seconds < 59.95 { return fixed(seconds, digits: 1) + "s" }
        let whole = Int(seconds.rounded())
        if whole < 3_600 { return "\(whole / 60)m \(two(whole % 60))s" }
        if whole < 86_400 { return "\(whole / 3_600)h \(two(whole / 60 % 60))m" }
        return "\(whole / 86_400)d \(two(whole / 3_600 % 24))h"
    }

    static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    /// Decimal with a fixed number of digits, half away from zero. Magnitudes from 1e15 on lose digits.
    static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite else { return "?" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (abs(value) * scale).rounded()
        guard scaled < 9e18 else { return "\(value)" }
        let text = String(UInt64(scaled))
        let padded = String(repeating: "0", count: max(0, digits + 1 - text.utf8.count)) + text
        let sign = value < 0 && scaled > 0 ? "-" : ""
        return digits == 0 ? sign + padded : sign + padded.dropLast(digits) + "." + padded.suffix(digits)
    }
}
