// SPDX-License-Identifier: Apache-2.0

/// When to do again what may cost much: so seldom that it takes at most a thousandth of a processor.
///
/// PSS is that: the kernel walks all pages of the process, at 0.1 to 1 µs each, and holds the lock that the process needs
/// for its next `mmap`. So is the shim's private memory, which is told from its pages.
public struct CostLimit: Sendable {
    private static let share: UInt64 = 1000
    private var due: UInt64 = 0

    public init() {}

    /// - Parameter now: of `CLOCK_MONOTONIC`, in nanoseconds.
    public func isDue(at now: UInt64) -> Bool { now >= due }

    /// - Parameters:
    ///   - cost: processor time of the thread that did it, not time that has passed: what waited for a processor cost nothing,
    ///     and would go unmeasured for seconds.
    ///   - now: of `CLOCK_MONOTONIC`, as `cost` in nanoseconds.
    public mutating func spent(_ cost: UInt64, until now: UInt64) {
        due = now &+ cost &* Self.share
    }
}
