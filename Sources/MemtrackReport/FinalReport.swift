// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// The report at the end of a program, or of a region found later.
public enum FinalReport {
    public struct Options: Sendable {
        /// Rows of each table.
        public var limit: Int
        public var filter: SiteFilter?
        public var callers: Int
        /// How to get the rest as JSON, said where no JSON was written.
        public var types = TypeTableText.Options()
        public var jsonHint = "--json FILE writes every site with all its stacks."

        public init(limit: Int = 10, filter: SiteFilter? = nil, callers: Int = 3) {
            self.limit = limit
            self.filter = filter
            self.callers = callers
        }
    }

    public static func render(
        _ session: SessionSummary, layout: Layout, options: Options = Options()
    ) -> String {
        var lines = TextLines(layout)
        writeHead(session, to: &lines)
        if let profile = session.profile {
            lines.blank()
            lines.section("Totals")
            if profile.sites.isEmpty {
                lines.paragraph("No allocation was made.", tone: .dim)
            } else {
                TotalsBlock(session: session, profile: profile).write(to: &lines)
                writeTypes(session, options: options, to: &lines)
                writeTables(session, profile, options: options, to: &lines)
            }
        }
        writeMarks(session, limit: options.limit, to: &lines)
        writeSeries(session, to: &lines)
        let processes = ProcessTree(records: session.processes, limit: options.limit)
        if processes.isWorthShowing {
            lines.blank()
            lines.section("Processes", "RSS as last seen")
            processes.write(to: &lines)
        }
        writeHealth(session, to: &lines)
        writeNext(session, options: options, to: &lines)
        return lines.text
    }

    private static func writeHead(_ session: SessionSummary, to lines: inout TextLines) {
        lines.rule("memtrack", [who(session), ended(session)])
        let command = session.commandLine.map(Escape.text).joined(separator: " ")
        if !command.isEmpty {
            lines.add([Span("  " + DisplayWidth.truncateMiddle(command, to: lines.layout.width - 2), .dim)])
        }
        for note in session.notes { lines.paragraph(Escape.text(note), mark: "! ", tone: .warning) }
    }

    private static func writeTypes(
        _ session: SessionSummary, options: Options, to lines: inout TextLines
    ) {
        guard let types = session.types else { return }
        lines.blank()
        var shown = options.types
        // Since the start, when there was nothing, all of it has been added.
        if types.changeSince == nil { shown.showsChange = false }
        TypeTableText(types: types, options: shown).write(
            to: &lines, asOf: session.ending == .running ? nil : types.elapsed)
        CollectorText(session.gauges).write(to: &lines)
    }

    /// The program may have ended before a checkpoint could show what it said.
    private static func writeMarks(_ session: SessionSummary, limit: Int, to lines: inout TextLines) {
        let own = session.types == nil ? session.gauges : CollectorText(session.gauges).others
        let (markers, gauges) = (session.markers.suffix(limit), own.prefix(limit))
        if markers.isEmpty && gauges.isEmpty { return }
        lines.blank()
        let earlier = session.markerCount - markers.count
        lines.section(
            "From the program", earlier > 0 ? "the last \(limit) of \(session.markerCount) marks" : "")
        for marker in markers {
            MarkText.write(marker, since: session.startMonotonicNanoseconds, to: &lines)
        }
        for gauge in gauges { MarkText.write(gauge, to: &lines) }
    }

    private static func writeSeries(_ session: SessionSummary, to lines: inout TextLines) {
        if session.series.rss.count > 0 {
            lines.blank()
            let count = session.series.checkpoints.count
            lines.section(
                "Over time",
                "at \(FigureText.plural(UInt64(count), "checkpoint", "checkpoints")), the end included")
            SeriesTable(series: session.series).write(to: &lines)
        } else if session.largestRSS != nil {
            lines.blank()
            lines.section("Over time")
        } else if session.profile == nil {
            lines.paragraph("It ended before its memory could be measured.", tone: .dim)
        }
        if let largest = session.largestRSS {
            lines.paragraph(
                "No process was ever larger than \(FigureText.bytes(largest)) RSS, memtrack's own memory included.",
                tone: .dim)
        }
    }

    /// The program and its PID, where it is one process.
    static func who(_ session: SessionSummary) -> String {
        Escape.text(session.program) + (session.pid > 0 ? " (\(session.pid))" : "")
    }

    static func ended(_ session: SessionSummary) -> String {
        let time = FigureText.duration(session.duration)
        switch session.ending {
        case .exited(let status): return "exit status \(status) after " + time
        case .signalled(let number, let name):
            return "killed by " + (name.isEmpty ? "signal \(number)" : Escape.text(name)) + " after " + time
        case .running: return "running for " + time
        case .unknown: return session.duration > 0 ? "ended after " + time : "ended"
        }
    }

    private static func writeTables(
        _ session: SessionSummary, _ profile: Profile, options: Options, to lines: inout TextLines
    ) {
        let sites = options.filter?.apply(to: profile.sites) ?? profile.sites
        let tables = FinalTables(
            profile: profile, sites: sites, limit: options.limit, callers: options.callers)
        let filter = CheckpointText.filterText(options.filter?.text)
        let isRunning = session.ending == .running
        lines.blank()
        lines.section("Live at the peak", "what made the program largest" + filter)
        tables.writePeak(to: &lines)
        lines.blank()
        lines.section(
            isRunning ? "Live now" : "Live at exit",
            (isRunning ? "not freed so far" : "never freed: leaks, and what was kept on purpose") + filter)
        tables.writeLive(to: &lines)
        lines.blank()
        lines.section("Most allocations", "where the allocator is kept busy" + filter)
        tables.writeCount(to: &lines)
        if options.limit > 0, !profile.sizeClasses.isEmpty {
            lines.blank()
            let table = SizeClassTable(
                shares: profile.sizeClasses, limit: options.limit, sampling: profile.sampling)
            lines.section(
                "Size classes",
                (isRunning ? "live now" : "live at exit") + ", the \(options.limit) largest" + table.exactness
            )
            table.write(to: &lines)
        }
    }

    private static func writeHealth(_ session: SessionSummary, to lines: inout TextLines) {
        guard let profile = session.profile else { return }
        lines.blank()
        lines.section("Health")
        for sentence in HealthText.sentences(profile.shim, totals: profile.totals) {
            lines.paragraph(sentence, mark: "! ", tone: .warning)
        }
        lines.paragraph(
            HealthText.ownMemory(
                profile.shim, resident: session.shimBytes, processes: session.processes.byProcess.count),
            tone: .dim)
    }

    private static func writeNext(_ session: SessionSummary, options: Options, to lines: inout TextLines) {
        var paths: [(String, String)] = []
        var hints: [String] = []
        if let path = session.historyPath { paths.append(("history", Escape.text(path))) }
        if let path = session.profilePath { paths.append(("profile", Escape.text(path))) }
        if let path = session.jsonPath { paths.append(("JSON", Escape.text(path))) }
        if session.jsonPath == nil, session.profile != nil {
            hints.append(options.jsonHint)
        }
        if session.types == nil, let profile = session.profile, profile.sampling == nil, isPython(profile) {
            hints.append(
                "-o shows a Python program's objects by type, and its own functions in place of the interpreter's."
            )
        }
        hints += session.hints.map(Escape.text)
        if let profile = session.profile, session.hints.isEmpty, lacksLines(profile) {
            hints.append("Source lines appear when the program is compiled with -g.")
        }
        if paths.isEmpty && hints.isEmpty { return }
        lines.blank()
        lines.section("Next")
        for (label, text) in paths {
            // A path is to be copied: it is never cut.
            lines.add([Span("  " + DisplayWidth.pad(label, to: 9, right: false), .dim), Span(text)])
        }
        for hint in hints { lines.paragraph(hint, tone: .dim) }
    }

    /// No site of the program's ten largest knows its source line.
    private static func lacksLines(_ profile: Profile) -> Bool {
        let named = largest(profile)
        return !named.isEmpty && named.allSatisfy { $0.frame.file == nil }
    }

    /// Half of the ten largest or more are the interpreter's.
    private static func isPython(_ profile: Profile) -> Bool {
        let named = largest(profile)
        let interpreter = named.filter {
            $0.frame.moduleName.hasPrefix("libpython3") || $0.frame.moduleName.hasPrefix("python3")
        }
        return !interpreter.isEmpty && interpreter.count * 2 >= named.count
    }

    private static func largest(_ profile: Profile) -> [Site] {
        SiteOrder.peak.sorted(profile.sites, of: profile.table).prefix(10).filter {
            $0.frame.kind != .builtIn
        }
    }
}
