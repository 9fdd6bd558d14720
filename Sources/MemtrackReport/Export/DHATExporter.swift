// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// JSON for valgrind's dh_view.html, version 2 of its format: each stack with what it allocated in all, its
/// share of the peak ("t-gmax") and what is live ("t-end").
///
/// DHAT knows two things of a stack that nobody counted here. Its own maximum is given as the larger of its
/// share at the peak and at the end: a lower bound. Lifetimes (`tl`) are left out, which dh_view shows as
/// "NaN".
public struct DHATExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let summary = profile.summary
        let microseconds = max(1, summary.duration.count(of: 1e-6))
        var json = JSONWriter()
        json.object { json in
            json.field("dhatFileVersion", 2)
            json.field("mode", "memtrack heap")
            json.field("verb", "Allocated")
            json.key("bklt")
            json.value(true)
            json.key("bkacc")
            json.value(false)
            // dh_view shows rates by a million time units.
            json.field("tu", "µs")
            json.field("Mtu", "s")
            json.field("tuth", 10)
            json.field("cmd", summary.commandLine.map(Escape.text).joined(separator: " "))
            json.field("pid", summary.pid)
            json.field("te", microseconds)
            json.field(
                "tg", min(microseconds, summary.secondsToPeak.map { $0.count(of: 1e-6) } ?? microseconds))
            json.key("pps")
            json.array(of: StackLine.all(profile.profile), Self.point)
            json.key("ftbl")
            json.array { json in
                json.value("[root]")
                for frame in profile.profile.table.frames { json.value(frame.valgrindText) }
            }
        }
        json.lineFeed()
        return json.bytes
    }

    private static func point(_ json: inout JSONWriter, _ stack: StackLine) {
        let counters = stack.counters
        json.object { json in
            json.field("tb", counters.allocatedBytes)
            json.field("tbk", counters.allocations)
            json.field("mb", max(counters.peakBytes, counters.liveBytes))
            json.field("mbk", max(counters.peakBlocks, counters.liveBlocks))
            json.field("gb", counters.peakBytes)
            json.field("gbk", counters.peakBlocks)
            json.field("eb", counters.liveBytes)
            json.field("ebk", counters.liveBlocks)
            json.field("fs", numbers: stack.frames.map { $0 + 1 })
        }
    }
}

extension SessionSummary {
    /// From the start to the highest live total; nil where it is not known, or not one moment.
    var secondsToPeak: Double? {
        guard let moment = profile?.peak.monotonicNanoseconds, startMonotonicNanoseconds > 0,
            moment >= startMonotonicNanoseconds
        else { return nil }
        return Double(moment - startMonotonicNanoseconds) / 1e9
    }
}
