// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
public import MemtrackProfile
internal import MemtrackRegion

/// The JSON forms: the final report as one object, the history as one object a line.
///
/// Keys are lowerCamelCase and sorted; sizes are bytes, times seconds. Text of the target is given as it
/// is (JSON escapes what must be): whoever prints it has to make it safe.
public enum ReportJSON {
    /// The final report. `sites` are sorted by live bytes; `stacks` refer to `frames` by place.
    ///
    /// - Parameter filter: only the sites that it admits; the totals are those of all.
    public static func report(
        _ session: SessionSummary, filter: SiteFilter? = nil
    ) throws(ReportError) -> [UInt8] {
        try encode(JSONReport(session, filter))
    }

    /// One line of the history: a checkpoint with its table, without line feed inside, with one at the end.
    public static func line(_ checkpoint: Checkpoint) throws(ReportError) -> [UInt8] {
        try encode(JSONCheckpoint(checkpoint))
    }

    /// The types of a process alone, as `memtrack objects` prints them.
    public static func types(_ table: TypeTable) throws(ReportError) -> [UInt8] {
        try encode(JSONTypeReport(table))
    }

    private static func encode(_ value: some Encodable) throws(ReportError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Gauges are set by the target and may be anything.
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }

    /// `2026-03-01T14:22:31+01:00`.
    static func timestamp(_ time: WallTime) -> String {
        let parts = time.components
        let year = String(parts.year)
        let date =
            String(repeating: "0", count: max(0, 4 - year.count)) + year + "-"
            + FigureText.two(parts.month) + "-" + FigureText.two(parts.day)
        let clock = [parts.hour, parts.minute, parts.second].map(FigureText.two).joined(separator: ":")
        let offset = abs(time.utcOffsetSeconds)
        let zone = FigureText.two(offset / 3_600) + ":" + FigureText.two(offset / 60 % 60)
        return date + "T" + clock + (time.utcOffsetSeconds < 0 ? "-" : "+") + zone
    }
}

private struct JSONReport: Encodable {
    struct Peak: Encodable {
        /// null where a file does not say it.
        @OrNull var slackBytes: UInt64?
        @OrNull var secondsSinceStart: Double?
        var processes: Int
    }

    struct Blocks: Encodable {
        var blocks: Int64
        var bytes: Int64
    }

    struct Summary: Encodable {
        var number: Int
        var time: String
        var elapsedSeconds: Double
        @OrNull var figures: JSONFigures?
        @OrNull var totals: JSONCounters?
    }

    var version = 1
    var program: String
    var pid: Int32
    var commandLine: [String]
    var host: String
    var startTime: String
    var durationSeconds: Double
    var running: Bool
    @OrNull var exitStatus: Int32?
    @OrNull var signal: Int32?
    var notes: [String]
    var hints: [String]
    @OrNull var totals: JSONCounters?
    /// Part of the frees in `totals`: what programs held that `exec` replaced.
    var freedByExec: Blocks
    @OrNull var peak: Peak?
    /// null where every allocation was counted with its stack.
    @OrNull var sampling: JSONSampling?
    var frames: [JSONFrame]
    var sites: [JSONSite]
    var sizeClasses: [JSONSizeClass]
    var processes: [JSONProcess]
    /// Counts of what was lost, by the names of the region's fields, and what the shim used.
    var health: [String: UInt64]
    @OrNull var memtrackBytes: UInt64?
    /// Of any one process, memtrack's share included.
    @OrNull var largestRssBytes: UInt64?
    var checkpoints: [Summary]
    /// Set by the program; the newest ones.
    var markers: [JSONMarker]
    var gauges: [JSONGauge]
    /// What live memory was at the last look; null where nobody asked.
    @OrNull var objects: JSONTypes?
    var types: [JSONType]

    init(_ session: SessionSummary, _ filter: SiteFilter?) {
        program = session.program
        pid = session.pid
        commandLine = session.commandLine
        host = session.host
        startTime = ReportJSON.timestamp(session.start)
        durationSeconds = session.duration
        running = session.ending == .running
        if case .exited(let status) = session.ending { exitStatus = status }
        if case .signalled(let number, _) = session.ending { signal = number }
        notes = session.notes
        hints = session.hints
        let profile = session.profile
        totals = profile.map { JSONCounters($0.totals) }
        let freed = session.freedByExec
        freedByExec = Blocks(blocks: freed.blocks, bytes: freed.bytes)
        peak = profile.map { profile in
            let moment = profile.peak.monotonicNanoseconds ?? 0
            let start = session.startMonotonicNanoseconds
            return Peak(
                slackBytes: profile.peak.slackBytes,
                secondsSinceStart: start > 0 && moment >= start ? Double(moment - start) / 1e9 : nil,
                processes: profile.peak.processes)
        }
        frames = profile?.table.frames.map(JSONFrame.init) ?? []
        sites =
            profile.map { profile in
                (filter?.apply(to: profile.sites) ?? profile.sites).map {
                    JSONSite($0, table: profile.table, sampling: profile.sampling)
                }
            } ?? []
        sampling = profile?.sampling.map(JSONSampling.init)
        let classes = profile?.sizeClasses ?? []
        sizeClasses = (profile?.sampling?.withUnhit(classes) ?? classes).map {
            JSONSizeClass($0, counted: profile?.sampling?.counted($0.sizeClass))
        }
        processes = session.processes.map(JSONProcess.init)
        health = (profile?.shim ?? ShimFigures()).counts
        memtrackBytes = session.shimBytes
        largestRssBytes = session.largestRSS
        markers = session.markers.map(JSONMarker.init)
        gauges = session.gauges.map(JSONGauge.init)
        objects = session.types.map(JSONTypes.init)
        types = session.types?.rows.map { JSONType($0, sites: .max) } ?? []
        checkpoints = session.series.checkpoints.map {
            Summary(
                number: $0.number, time: ReportJSON.timestamp($0.time), elapsedSeconds: $0.elapsed,
                figures: $0.figures.map(JSONFigures.init), totals: $0.totals.map(JSONCounters.init))
        }
    }
}

private struct JSONMarker: Encodable {
    var label: String
    var monotonicNanoseconds: UInt64

    init(_ marker: RegionMarker) {
        label = marker.label
        monotonicNanoseconds = marker.monotonicNanoseconds
    }
}

private struct JSONGauge: Encodable {
    var name: String
    var value: Double

    init(_ gauge: RegionGauge) {
        name = gauge.name
        value = gauge.value
    }
}

private struct JSONCheckpoint: Encodable {
    struct Row: Encodable {
        var frame: JSONFrame
        var counters: JSONCounters
        var liveBytesChange: Int64
        var newAllocations: UInt64
        var callers: [JSONFrame]

        enum CodingKeys: CodingKey { case liveBytesChange, newAllocations, callers }

        func encode(to encoder: any Encoder) throws {
            try frame.encode(to: encoder)
            try counters.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(liveBytesChange, forKey: .liveBytesChange)
            try container.encode(newAllocations, forKey: .newAllocations)
            try container.encode(callers, forKey: .callers)
        }
    }

    var number: Int
    var time: String
    var elapsedSeconds: Double
    var intervalSeconds: Double
    var program: String
    var pid: Int32
    @OrNull var figures: JSONFigures?
    @OrNull var totals: JSONCounters?
    @OrNull var liveBytesChange: Int64?
    @OrNull var newAllocations: UInt64?
    var sites: [Row]
    var markers: [JSONMarker]
    var gauges: [JSONGauge]
    @OrNull var objects: JSONTypes?
    var types: [JSONType]

    init(_ checkpoint: Checkpoint) {
        number = checkpoint.number
        time = ReportJSON.timestamp(checkpoint.time)
        elapsedSeconds = checkpoint.elapsed
        intervalSeconds = checkpoint.interval
        program = checkpoint.program
        pid = checkpoint.pid
        figures = checkpoint.figures.map(JSONFigures.init)
        totals = checkpoint.objects.map { JSONCounters($0.totals) }
        liveBytesChange = checkpoint.objects?.liveChange
        newAllocations = checkpoint.objects?.newAllocations
        sites = (checkpoint.objects?.rows ?? []).map {
            Row(
                frame: JSONFrame($0.frame), counters: JSONCounters($0.counters),
                liveBytesChange: $0.liveChange, newAllocations: $0.newAllocations,
                callers: $0.callers.map(JSONFrame.init))
        }
        objects = checkpoint.types.map(JSONTypes.init)
        types = checkpoint.types?.rows.map { JSONType($0, sites: 3) } ?? []
        markers = checkpoint.markers.map(JSONMarker.init)
        gauges = checkpoint.gauges.map(JSONGauge.init)
    }
}
