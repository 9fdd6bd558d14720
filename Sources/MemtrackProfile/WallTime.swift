// SPDX-License-Identifier: Apache-2.0

/// A moment and how far local time is from UTC there. Made by the caller: nothing here reads a clock.
public struct WallTime: Sendable, Hashable {
    /// Seconds since 1970 in UTC.
    public var unixSeconds: Double
    /// Local time minus UTC, in seconds (`tm_gmtoff`).
    public var utcOffsetSeconds: Int

    public init(unixSeconds: Double, utcOffsetSeconds: Int = 0) {
        self.unixSeconds = unixSeconds
        self.utcOffsetSeconds = utcOffsetSeconds
    }

    /// Calendar date and time of day, local.
    public struct Components: Sendable, Hashable {
        public var year: Int
        public var month: Int
        public var day: Int
        public var hour: Int
        public var minute: Int
        public var second: Int
    }

    /// Gregorian calendar, by the days-from-civil method (Howard Hinnant, "chrono-compatible low-level
    /// date algorithms"). Times outside the years 1 to 9999 are clamped.
    public var components: Components {
        let limits = -62_135_596_800.0...253_402_300_799.0
        let given = unixSeconds.isFinite ? unixSeconds.rounded(.down) + Double(utcOffsetSeconds) : 0
        let seconds = Int(min(max(given, limits.lowerBound), limits.upperBound))
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let rest = seconds - days * 86_400
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return Components(
            year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month: month,
            day: dayOfYear - (153 * marchMonth + 2) / 5 + 1, hour: rest / 3_600, minute: rest / 60 % 60,
            second: rest % 60)
    }
}
