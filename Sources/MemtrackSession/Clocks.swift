// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
public import MemtrackProfile

/// A moment by both clocks.
public struct Moment: Sendable {
    public let wall: WallTime
    /// `CLOCK_MONOTONIC`, the clock of the regions.
    public let monotonicNanoseconds: UInt64

    public static var now: Moment {
        Moment(wall: Clocks.wallTime, monotonicNanoseconds: Clocks.monotonicNanoseconds)
    }
}

/// The only place where a session reads the clock.
public enum Clocks {
    /// `CLOCK_MONOTONIC`, the clock of the regions.
    public static var monotonicNanoseconds: UInt64 { nanoseconds(CLOCK_MONOTONIC) }

    /// What this thread has had of a processor, in the kernel too.
    static var threadNanoseconds: UInt64 { nanoseconds(CLOCK_THREAD_CPUTIME_ID) }

    /// Since a moment of `CLOCK_MONOTONIC`, of a clock that is `clockOffset` ahead of ours; 0 where that is still to come.
    static func seconds(since start: UInt64, clockOffset: Int64) -> Double {
        let now = monotonicNanoseconds.ahead(by: clockOffset)
        return now > start ? Double(now - start) / 1e9 : 0
    }

    public static var wallTime: WallTime {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        return WallTime(
            unixSeconds: Double(nanoseconds(CLOCK_REALTIME)) / 1e9, utcOffsetSeconds: Int(parts.tm_gmtoff))
    }

    static func wallTime(unixNanoseconds: UInt64) -> WallTime {
        WallTime(
            unixSeconds: Double(unixNanoseconds) / 1e9, utcOffsetSeconds: wallTime.utcOffsetSeconds)
    }

    /// When a process started, by field 22 of its `stat`: ticks since boot, sleep included.
    static func moment(ofTicks ticks: UInt64) -> Moment {
        let perTick = 1_000_000_000 / UInt64(max(sysconf(Int32(_SC_CLK_TCK)), 1))
        let boottime = nanoseconds(CLOCK_BOOTTIME)
        let age = boottime - min(boottime, ticks.multipliedReportingOverflow(by: perTick).partialValue)
        let (wall, monotonic) = (nanoseconds(CLOCK_REALTIME), monotonicNanoseconds)
        return Moment(
            wall: wallTime(unixNanoseconds: wall - min(wall, age)),
            monotonicNanoseconds: monotonic - min(monotonic, age))
    }

    private static func nanoseconds(_ clock: clockid_t) -> UInt64 {
        var now = timespec()
        clock_gettime(clock, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    public static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "?" }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Largest resident set that this process has had, in bytes. A child's `ru_maxrss` is never less than its
    /// parent's at the fork, because exec keeps the mark.
    static var ownLargestRSS: UInt64 {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return UInt64(clamping: usage.ru_maxrss) &* 1024
    }
}
