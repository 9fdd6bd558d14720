// SPDX-License-Identifier: Apache-2.0

/// When to do again what may cost much: so seldom that it takes at most a thousandth of the time.
///
/// PSS is that: the kernel walks all pages of the process, at 0.1 to 1 µs each, and holds the lock that the process needs
/// for its next `mmap`. So is the shim's private memory, which is told from its pages.
struct CostLimit {
    private static let share: UInt64 = 1000
    private var due: UInt64 = 0

    /// Times are of `CLOCK_MONOTONIC`, in nanoseconds.
    func isDue(at now: UInt64) -> Bool { now >= due }

    mutating func spent(from start: UInt64, to end: UInt64) {
        due = end &+ (end &- start) &* Self.share
    }
}
