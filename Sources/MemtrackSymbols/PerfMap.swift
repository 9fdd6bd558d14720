// SPDX-License-Identifier: Apache-2.0

/// Names of code made at run time, as a JIT writes them to `/tmp/perf-PID.map` for perf(1).
///
/// One line a function: start address and size in hexadecimal, then the name up to the end of the
/// line (it may contain blanks). Source: `tools/perf/Documentation/jit-interface.txt` in Linux.
public struct PerfMap: Sendable {
    private let names: [String]
    private let intervals: IntervalMap
    /// Lines that are not of the form above, such as the last one of a map still being written.
    public let skippedLines: Int

    /// Code is moved and freed, so a line replaces what earlier lines said of the same addresses.
    public init(parsing text: [UInt8]) {
        var names: [String] = []
        var intervals: [Interval] = []
        var skipped = 0
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
            guard fields.count == 3, let start = hexadecimal(fields[0]), let size = hexadecimal(fields[1]),
                case (let end, let overflow) = start.addingReportingOverflow(size), !overflow
            else {
                skipped += 1
                continue
            }
            intervals.append(Interval(start: start, end: end, rank: names.count, value: names.count))
            names.append(String(decoding: trimmed(fields[2]), as: UTF8.self))
        }
        self.names = names
        self.intervals = IntervalMap(intervals)
        self.skippedLines = skipped
    }

    public init(parsing text: String) {
        self.init(parsing: Array(text.utf8))
    }

    /// The function at a run-time address.
    public func name(at address: UInt64) -> String? {
        intervals.value(at: address).map { names[$0] }
    }
}

/// Some writers put 0x before the number; perf takes both.
private func hexadecimal(_ field: ArraySlice<UInt8>) -> UInt64? {
    var digits = field
    if digits.starts(with: "0x".utf8) { digits = digits.dropFirst(2) }
    guard let first = digits.first, first != UInt8(ascii: "+"), first != UInt8(ascii: "-") else { return nil }
    return UInt64(String(decoding: digits, as: UTF8.self), radix: 16)
}

private func trimmed(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var name = name
    while let last = name.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: " ") { name.removeLast() }
    return name
}
