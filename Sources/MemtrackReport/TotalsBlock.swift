// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The totals of a final report: a count, a size and what they mean, on a line each.
struct TotalsBlock {
    private struct Row {
        var label: String
        var count: String
        var size: String
        var note: String
    }

    let session: SessionSummary
    let profile: Profile
    private let processes: [ProcessImages]

    init(session: SessionSummary, profile: Profile) {
        self.session = session
        self.profile = profile
        processes = session.processes.byProcess
    }

    func write(to lines: inout TextLines) {
        let rows = rows()
        let labelWidth = rows.map { DisplayWidth.of($0.label) }.max() ?? 0
        let countWidth = rows.map { DisplayWidth.of($0.count) }.max() ?? 0
        let sizeWidth = rows.map { DisplayWidth.of($0.size) }.max() ?? 0
        let used = 2 + labelWidth + 2 + countWidth + 2 + sizeWidth
        for row in rows {
            let room = lines.layout.width - used - 3
            let fits = DisplayWidth.of(row.note) <= room
            lines.add([
                Span("  " + DisplayWidth.pad(row.label, to: labelWidth, right: false) + "  ", .dim),
                Span(DisplayWidth.pad(row.count, to: countWidth, right: true) + "  "),
                Span(DisplayWidth.pad(row.size, to: sizeWidth, right: true), .bold),
                Span(fits ? "   " + row.note : "", .dim),
            ])
            if !fits { lines.paragraph(row.note, mark: "  ", tone: .dim) }
        }
    }

    private func rows() -> [Row] {
        let totals = profile.totals
        if let sampling = profile.sampling { return estimatedRows(sampling) }
        let average = totals.allocations == 0 ? 0 : totals.allocatedBytes / totals.allocations
        let temporary = FigureText.share(Double(totals.temporary), of: Double(totals.allocations))
        return [
            Row(
                label: "allocations", count: FigureText.count(totals.allocations),
                size: FigureText.bytes(totals.allocatedBytes),
                note: FigureText.bytes(average) + " on average" + rateNote),
            Row(
                label: "frees", count: FigureText.count(totals.frees),
                size: FigureText.bytes(totals.freedBytes), note: freesNote),
        ] + inheritedRows + [
            Row(
                label: "temporary", count: FigureText.count(totals.temporary), size: temporary,
                note: "freed before the thread allocated again"),
            Row(
                label: "peak", count: FigureText.count(totals.peakBlocks),
                size: FigureText.bytes(totals.peakBytes), note: peakNote),
            Row(
                label: session.ending == .running ? "live now" : "live at exit",
                count: FigureText.count(totals.liveBlocks), size: FigureText.bytes(totals.liveBytes),
                note: liveNote),
        ]
    }

    /// Where sites are estimates, the total of allocations is not.
    private func estimatedRows(_ sampling: Sampling) -> [Row] {
        let totals = profile.totals
        let shares = profile.sizeClasses
        func estimate(_ label: String, _ figure: Sampling.Figure, _ blocks: Int64, _ bytes: Int64) -> Row {
            let error = sampling.standardError(figure, shares)
            return Row(
                label: label, count: FigureText.count(blocks), size: FigureText.bytes(bytes),
                note: "estimated, ± " + FigureText.share(error.bytes, of: Double(max(0, bytes))))
        }
        let exact = sampling.totals
        let counted = exact ?? totals
        return [
            Row(
                label: "allocations", count: FigureText.count(counted.allocations),
                size: FigureText.bytes(counted.allocatedBytes),
                note: exact == nil ? "estimated" : "exact" + rateNote),
            Row(
                label: "sampled", count: "", size: "",
                note:
                    "one block in \(FigureText.shortBytes(sampling.periodBytes)) on average; ± is the standard error"
            ),
            estimate("peak", .peak, totals.peakBlocks, totals.peakBytes),
            estimate(
                session.ending == .running ? "live now" : "live at exit", .live, totals.liveBlocks,
                totals.liveBytes),
        ]
    }

    /// A child's share of its parent's memory ends there, the parent's stays.
    private var inheritedRows: [Row] {
        let health = profile.shim.health
        if health.inheritedFrees == 0 { return [] }
        return [
            Row(
                label: "inherited", count: FigureText.count(health.inheritedFrees),
                size: FigureText.bytes(health.inheritedFreedBytes),
                note: "freed by forked children of what they had from their parents: in no other figure")
        ]
    }

    /// Nothing where the duration is not known, as of a region whose process has gone.
    private var rateNote: String {
        guard session.duration > 0 else { return "" }
        let allocations = (profile.sampling?.totals ?? profile.totals).allocations
        return ", " + FigureText.rate(allocations, seconds: session.duration)
    }

    /// What `exec` takes away is no leak of the program that came after it.
    private var freesNote: String {
        let freed = session.freedByExec
        if freed.blocks <= 0 { return "" }
        return
            "with \(FigureText.count(freed.blocks)), \(FigureText.bytes(freed.bytes)), of programs that exec replaced"
    }

    private var liveNote: String {
        let live = profile.sites.count { $0.counters.liveBlocks != 0 || $0.counters.liveBytes != 0 }
        let all = FigureText.plural(UInt64(profile.sites.count), "site", "sites")
        let sites = "at " + FigureText.count(UInt64(live)) + " of " + all
        guard processes.count > 1, let own = program?.totals else { return sites }
        let others = FigureText.plural(UInt64(processes.count - 1), "other process", "other processes")
        return sites + ", \(FigureText.bytes(own.liveBytes)) in \(name), the rest in \(others)"
    }

    /// The process that was started or is watched; nil where its images are not known, as after a merge.
    private var program: ProcessImages? {
        session.pid > 0 ? processes.first { $0.last.pid == session.pid } : nil
    }

    private var name: String { Escape.text(program.map { Frame.baseName($0.last.executable) } ?? "") }

    /// When the peak was, and how far it may be from the truth.
    private var peakNote: String {
        let peak = profile.peak
        if peak.processes > 1 {
            if processes.count == 1 {
                return
                    "peaks of the \(peak.processes) programs it was, one after the other, added up: an upper bound"
            }
            let own = program?.totals.map { ", \(FigureText.bytes($0.peakBytes)) \(name)" } ?? ""
            return "own peaks of \(processes.isEmpty ? peak.processes : processes.count) processes added up"
                + own + ": an upper bound"
        }
        var note = ""
        if let moment = peak.monotonicNanoseconds, moment >= session.startMonotonicNanoseconds,
            session.startMonotonicNanoseconds > 0
        {
            let seconds = Double(moment - session.startMonotonicNanoseconds) / 1e9
            note = "at +" + FigureText.duration(seconds) + ", "
        }
        guard let slack = peak.slackBytes else { return note + "how exact is not known" }
        return note
            + (slack == 0 ? "exact" : "within " + FigureText.shortBytes(slack) + " of the true peak")
    }
}
