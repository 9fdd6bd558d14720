// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// JSON lines for a database of many profiles: one row a site. The profile's moment is the row's checkpoint,
/// so that the files of several checkpoints, processes and hosts can be read together.
///
/// Rows are flat, all have the same keys, and none holds an array. Queries are in docs/exports.md.
public struct JSONLinesExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let buildIDs = Dictionary(
            profile.profile.modules.map { ($0.path, $0.buildIDText) }, uniquingKeysWith: { first, _ in first }
        )
        let moment = profile.summary.duration
        var json = JSONWriter()
        for site in profile.profile.sites {
            json.object { json in
                Self.origin(of: profile, at: moment, options, to: &json)
                json.field("function", site.frame.function)
                json.field("functionKey", FunctionName.qualified(site.frame.function))
                json.field("file", site.frame.file ?? "")
                json.field("line", max(0, site.frame.line ?? 0))
                json.field("module", site.frame.module)
                json.field("moduleBuildId", buildIDs[site.frame.module] ?? "")
                Self.counters(site.counters, to: &json)
            }
            json.lineFeed()
        }
        return json.bytes
    }

    /// Which profile a row is of, and of which moment, in seconds since the start.
    static func origin(
        of profile: LoadedProfile, at elapsed: Double, _ options: ExportOptions, to json: inout JSONWriter
    ) {
        let summary = profile.summary
        let moment = WallTime(
            unixSeconds: summary.start.unixSeconds + elapsed, utcOffsetSeconds: summary.start.utcOffsetSeconds
        )
        json.field("time", ReportJSON.timestamp(moment))
        json.field("host", summary.host)
        json.field("program", summary.program)
        json.field("pid", summary.pid)
        json.field("buildId", profile.buildID)
        json.field("checkpoint", summary.series.checkpoints.last?.number ?? 0)
        json.key("elapsedSeconds")
        json.value(elapsed)
        json.key("labels")
        json.object { json in
            for label in options.labels { json.field(label.name, label.value) }
        }
    }

    private static func counters(_ counters: Counters, to json: inout JSONWriter) {
        json.field("allocations", counters.allocations)
        json.field("allocatedBytes", counters.allocatedBytes)
        json.field("frees", counters.frees)
        json.field("freedBytes", counters.freedBytes)
        json.field("liveBlocks", counters.liveBlocks)
        json.field("liveBytes", counters.liveBytes)
        json.field("peakBlocks", counters.peakBlocks)
        json.field("peakBytes", counters.peakBytes)
        json.field("temporaryAllocations", counters.temporary)
    }
}
