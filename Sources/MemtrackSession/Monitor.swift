// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackLaunch
internal import MemtrackProcfs
public import MemtrackProfile
public import MemtrackRegion
internal import MemtrackReport

/// Watches a target from its start to its end: checkpoints while it runs, the final report after it.
public final class Monitor {
    public struct Options: Sendable {
        /// Seconds between checkpoints; 0 for none.
        public var interval: Double = 30
        public var rows = 10
        public var order = SiteOrder.live
        public var filter: SiteFilter?
        public var isQuiet = false
        public var historyDirectory: String?
        public var jsonPath: String?

        public init() {}
    }

    /// How often the session directory is looked at for processes that have come and gone.
    private static let sweepSeconds = 0.5

    private let process: TargetProcess
    private let directory: SessionDirectory?
    private let collector: RegionCollector?
    private let symbols: SymbolSource
    private let options: Options
    private let screen: Screen
    private let complain: (String) -> Void
    private let watch = ProcessWatch()
    private let history: HistoryFile?

    private var tracker: CheckpointTracker
    private var summary: SessionSummary
    private let startNanoseconds = Clocks.monotonicNanoseconds
    private var lastFigures: ProcessFigures?
    private var lastMarkers: [RegionMarker] = []

    /// - Parameters:
    ///   - directory: the session's regions; nil where no objects are counted.
    ///   - notes: what the reader of the report must know from the start.
    ///   - complain: prints a warning.
    public init(
        process: TargetProcess, program: String, commandLine: [String], directory: SessionDirectory?,
        wrappers: WrapperMatcher, options: Options, screen: Screen, notes: [String],
        complain: @escaping (String) -> Void
    ) {
        self.process = process
        self.directory = directory
        self.options = options
        self.screen = screen
        self.complain = complain
        let symbols = SymbolSource(wrappers: wrappers)
        self.symbols = symbols
        collector = directory.map {
            RegionCollector(directory: $0, builder: symbols.builder, removesDead: true)
        }
        let start = Clocks.wallTime
        summary = SessionSummary(
            program: program, pid: process.pid, commandLine: commandLine, host: Clocks.hostName, start: start,
            startMonotonicNanoseconds: startNanoseconds, duration: 0, ending: .running, profile: nil)
        summary.interval = options.interval
        summary.notes = notes
        history = options.historyDirectory.map {
            HistoryFile(directory: $0, program: program, start: start, pid: process.pid)
        }
        tracker = CheckpointTracker(
            program: program, pid: process.pid,
            options: CheckpointTracker.Options(
                order: options.order, filter: options.filter, limit: options.rows))
    }

    /// Runs until the target has ended and all reports are written.
    public func run() throws(LaunchError) -> TargetOutcome {
        let progress = ProgressLine(isTerminal: screen.isTerminal && !options.isQuiet)
        collector?.onProgress = progress.update
        var nextCheckpoint = options.interval
        while true {
            let now = elapsed
            let untilCheckpoint = options.interval > 0 ? max(0, nextCheckpoint - now) : Self.sweepSeconds
            let event = try process.nextEvent(timeout: .seconds(min(untilCheckpoint, Self.sweepSeconds)))
            switch event {
            case .exited(let status):
                summary.ending = .exited(status: status)
                return end(.exited(status: status))
            case .signaled(let signal, let coreDumped):
                summary.ending = .signalled(number: signal, name: SignalName.of(signal))
                return end(.signaled(signal: signal, coreDumped: coreDumped))
            case .timeout:
                collector?.sweep()
                measure(withPSS: false)
            case .stopped, .continued, .interrupted:
                break
            }
            if options.interval > 0, elapsed >= nextCheckpoint {
                checkpoint()
                // A checkpoint that was late, as after Ctrl+Z, is made once, not once for each missed.
                let missed = ((elapsed - nextCheckpoint) / options.interval).rounded(.down)
                nextCheckpoint += (max(0, missed) + 1) * options.interval
            }
        }
    }

    private var elapsed: Double { Double(Clocks.monotonicNanoseconds - startNanoseconds) / 1e9 }

    private func measure(withPSS: Bool) {
        let shim = collector?.shimUse() ?? [:]
        if let figures = watch.figures(of: process.pid, shim: shim, withPSS: withPSS) {
            lastFigures = figures
            summary.shimBytes = collector == nil ? nil : figures.shimBytes
        }
    }

    private func checkpoint() {
        measure(withPSS: true)
        let view = collector?.view(figures: figures)
        var checkpoint = tracker.checkpoint(
            time: Clocks.wallTime, elapsed: elapsed, figures: lastFigures, profile: view?.profile)
        checkpoint.markers = view?.markers ?? []
        checkpoint.gauges = view?.gauges ?? []
        summary.series.add(checkpoint)
        if !options.isQuiet { screen.show(CheckpointText.render(checkpoint, layout: screen.layout)) }
        record(checkpoint)
    }

    private func figures(of pid: Int32) -> ProcessFigures? {
        pid == process.pid ? lastFigures : watch.figures(of: pid, shim: [:], withPSS: false)
    }

    private func record(_ checkpoint: Checkpoint) {
        guard let history else { return }
        do throws(SessionError) {
            try history.add(checkpoint, session: summary)
        } catch {
            complain("warning: \(error)")
        }
    }

    private func end(_ outcome: TargetOutcome) -> TargetOutcome {
        summary.duration = elapsed
        let view = collector?.view(figures: figures)
        summary.profile = view?.final
        summary.processes = view?.records ?? []
        noteProblems()
        var last = tracker.checkpoint(
            time: Clocks.wallTime, elapsed: summary.duration, figures: lastFigures, profile: view?.final)
        last.markers = view?.markers ?? []
        last.gauges = view?.gauges ?? []
        summary.series.add(last)
        record(last)
        if let history, history.isOpen {
            summary.historyPath = history.path
            do throws(SessionError) {
                try history.finish(summary)
            } catch {
                complain("warning: \(error)")
            }
        }
        writeJSON()
        if !options.isQuiet {
            let finalOptions = FinalReport.Options(limit: options.rows, filter: options.filter)
            screen.show(FinalReport.render(summary, layout: screen.layout, options: finalOptions))
        }
        if collector?.livingPIDs.isEmpty ?? true { _ = try? directory?.removeSelf() }
        return outcome
    }

    private func writeJSON() {
        guard let path = options.jsonPath else { return }
        do {
            let file = try OutputFile(path: path)
            try file.write(try ReportJSON.report(summary) + Array("\n".utf8))
            summary.jsonPath = path
        } catch {
            complain("warning: \(error)")
        }
    }

    private func noteProblems() {
        guard let collector else { return }
        if !collector.hasSeenRegions {
            summary.notes.append(
                "No allocation was counted: the program ended before it allocated, or the loader did not "
                    + "load the library into it.")
        }
        summary.notes += collector.problems
        let living = collector.livingPIDs
        if let first = living.first {
            let list = living.prefix(8).map(String.init).joined(separator: ", ")
            summary.notes.append(
                "\(living.count == 1 ? "A process" : "\(living.count) processes") of this session still "
                    + "run\(living.count == 1 ? "s" : "") (PID \(list)) and "
                    + "\(living.count == 1 ? "is" : "are") still being counted; "
                    + "look again with: memtrack report --pid \(first)")
        }
    }
}
