// SPDX-License-Identifier: Apache-2.0

/// The clocks that a time namespace may move (time_namespaces(7)), as a container or a restored process has it.
public enum NamespaceClock: String, Sendable {
    case monotonic
    case boottime
}

extension Procfs {
    /// By how much the clock of a process is ahead of our own, in nanoseconds; 0 where both have the same, and where
    /// that cannot be read. Source: `/proc/PID/timens_offsets`.
    public func clockOffset(of pid: Int32, _ clock: NamespaceClock) -> Int64 {
        guard let theirs = offset("\(pid)", clock), let own = offset("self", clock) else { return 0 }
        let (difference, overflow) = theirs.subtractingReportingOverflow(own)
        return overflow ? 0 : difference
    }

    /// Lines of the form `monotonic  -1000  500000000`: seconds, which may be negative, and nanoseconds.
    private func offset(_ process: String, _ clock: NamespaceClock) -> Int64? {
        guard let text = try? files.read("\(root)/\(process)/timens_offsets") else { return nil }
        for line in Lines(text) {
            let fields = line.split { $0 == 0x20 || $0 == 0x09 }
            guard fields.count == 3, fields[0].elementsEqual(clock.rawValue.utf8) else { continue }
            guard let seconds = Int64(fields[1].text), let nanoseconds = Int64(fields[2].text) else {
                return nil
            }
            let (whole, tooBig) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
            let (sum, tooBigWithRest) = whole.addingReportingOverflow(nanoseconds)
            return tooBig || tooBigWithRest ? nil : sum
        }
        return nil
    }
}

extension UInt64 {
    /// A moment of one clock by another that is `offset` ahead of it; never past either end.
    public func ahead(by offset: Int64) -> UInt64 {
        let (moved, overflow) =
            offset >= 0
            ? addingReportingOverflow(UInt64(offset)) : subtractingReportingOverflow(offset.magnitude)
        return overflow ? (offset >= 0 ? .max : 0) : moved
    }
}
