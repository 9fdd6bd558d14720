// SPDX-License-Identifier: Apache-2.0

/// How often the session is looked at: often while processes come and go, so that little of what is short-lived
/// is missed, seldom when nothing happens.
struct SweepPace {
    private static let slowest = 0.5
    private static let quickest = 0.05
    private(set) var seconds = 0.001

    mutating func advance(hasChanged: Bool) {
        seconds = hasChanged ? max(Self.quickest, seconds / 2) : min(Self.slowest, seconds * 2)
    }
}
