// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackLaunch
internal import MemtrackProcfs
public import MemtrackProfile
public import MemtrackRegion
public import MemtrackReport

/// Watches a process, from its start to its end or for as long as the user likes: checkpoints while it runs, the final
/// report after it.
public final class Monitor {
    /// Whose regions are read.
    public enum Regions: Sendable {
        case none
        /// All of a session that is the monitor's own: it removes what it has read.
        case ofSession(SessionDirectory)
        /// Those of the process and its descendants, among others' and for others to remove.
        case ofProcess(in: SessionDirectory)
    }

    public struct Options: Sendable {
        /// Seconds between checkpoints; 0 for none.
        public var interval: Double = 30
        public var rows = 10
        public var order = SiteOrder.live
        public var filter: SiteFilter?
        /// Whether objects are looked at, and which are shown; nil for no types.
        public var types: TypeTableText.Options?
        public var isQuiet = false
        public var historyDirectory: String?
        public var jsonPath: String?
        /// Where profiles are saved; nil for nowhere.
        public var profileNaming: ProfileNaming?
        /// By the user, who has named the place; not as part of the history.
        public var profileIsAskedFor = false
        /// The regions stay when the session has ended.
        public var keepsRegions = false

        /// Somebody may see what was counted.
        var hasReader: Bool {
            !isQuiet || historyDirectory != nil || jsonPath != nil || profileNaming != nil
        }

        public init() {}
    }

    let process: any WatchedProcess
    /// Of a session of its own.
    let directory: SessionDirectory?
    let collector: RegionCollector?
    private let requests: CensusRequests?
    private let symbols: SymbolSource
    let options: Options
    var screen: Screen
    let complain: (String) -> Void
    private let watch = ProcessWatch()
    let history: HistoryFile?
    let jsonPath: String?

    private var tracker: CheckpointTracker
    var summary: SessionSummary
    /// Of the first and the last look that found any.
    var firstTypes: TypeTable?
    var lastTypes: TypeTable?
    private let start: Moment
    /// By how much the clock of `start` and of the regions is ahead of ours.
    private let clockOffset: Int64
    private let isAttached: Bool
    private let ownLargestRSS = Clocks.ownLargestRSS
    private var lastFigures: ProcessFigures?
    private var pssCost = CostLimit()
    private var pace = SweepPace()
    private var lastAttended: UInt64 = 0
    private var endedNanoseconds: UInt64?
    var hasComplainedOfHistory = false
    var hasComplainedOfScreen = false
    var hasComplainedOfProfile = false

    /// Once an image is that old, its functions are named ahead of the next checkpoint.
    private static let warmUpAge: UInt64 = 1_500_000_000

    /// - Parameters:
    ///   - start: of the process: taken just before it was started, so that nothing it does comes earlier.
    ///   - clockOffset: by how much the clock of `start`, the process's own, is ahead of ours.
    ///   - attached: when the watch began, of a process that was there before; it has its first checkpoint at once.
    ///   - requests: made before the process was started, where types are asked for.
    ///   - notes: what the reader of the report must know from the start.
    ///   - complain: prints a warning.
    public init(
        process: any WatchedProcess, start: Moment, clockOffset: Int64 = 0, attached: Moment? = nil,
        program: String, commandLine: [String],
        regions: Regions, requests: CensusRequests? = nil,
        wrappers: WrapperMatcher, options: Options, screen: Screen, notes: [String],
        complain: @escaping (String) -> Void
    ) {
        self.process = process
        self.options = options
        self.screen = screen
        self.complain = complain
        let symbols = SymbolSource(wrappers: wrappers, isNeeded: options.hasReader)
        self.symbols = symbols
        switch regions {
        case .none:
            directory = nil
            collector = nil
        case .ofSession(let own):
            directory = own
            collector = RegionCollector(
                directory: own, builder: symbols.builder, removesDead: !options.keepsRegions)
        case .ofProcess(let place):
            directory = nil
            collector = RegionCollector(
                directory: place, builder: symbols.builder, removesDead: false, family: process.pid)
        }
        collector?.program = process.pid
        if options.types != nil { collector?.census = ObjectCensus(symbols: symbols) }
        self.requests = requests
        process.alsoWatched = requests?.descriptor ?? -1
        self.start = start
        self.clockOffset = clockOffset
        isAttached = attached != nil
        summary = SessionSummary(
            program: program, pid: process.pid, commandLine: commandLine, host: Clocks.hostName,
            start: start.wall, startMonotonicNanoseconds: start.monotonicNanoseconds, duration: 0,
            ending: .running, profile: nil)
        summary.interval = options.interval
        summary.notes = notes
        history = options.historyDirectory.map {
            HistoryFile(directory: $0, program: program, start: (attached ?? start).wall, pid: process.pid)
        }
        jsonPath = Self.checkedJSON(options.jsonPath, complain)
        tracker = CheckpointTracker(
            program: program, pid: process.pid,
            options: CheckpointTracker.Options(
                order: options.order, filter: options.filter, limit: options.rows))
    }

    /// Runs until the process has ended, or the user wants no more of it, and all reports are written.
    /// - Returns: how it ended; nil where it goes on, or nobody knows.
    @discardableResult
    public func run() throws(LaunchError) -> TargetOutcome? {
        let progress = ProgressLine(isTerminal: screen.isTerminal && !options.isQuiet)
        collector?.onProgress = { [weak self] done, total in
            progress.update(done, total)
            self?.attend()
        }
        checkHistory()
        checkProfile()
        if isAttached { collector?.sweep() }  // else the first checkpoint comes before the first look
        var nextCheckpoint = isAttached ? elapsed : options.interval
        while true {
            let untilCheckpoint = options.interval > 0 ? max(0, nextCheckpoint - elapsed) : pace.seconds
            let event = try process.nextEvent(timeout: .seconds(min(untilCheckpoint, pace.seconds)))
            switch event {
            case .exited(let status):
                summary.ending = .exited(status: status)
                finish()
                return .exited(status: status)
            case .signaled(let signal, let coreDumped):
                summary.ending = .signalled(number: signal, name: SignalName.of(signal))
                finish()
                return .signaled(signal: signal, coreDumped: coreDumped)
            case .ended:
                summary.ending = .unknown
                finish()
                return nil
            case .detached:
                finish()
                return nil
            case .readable:
                takeLastCensuses()
            case .timeout:
                if options.interval == 0 || elapsed < nextCheckpoint { sweep() }
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

    private var elapsed: Double {
        Clocks.seconds(since: start.monotonicNanoseconds, clockOffset: clockOffset)
    }

    /// Between checkpoints: whoever has come or gone, and how large the target is.
    private func sweep() {
        pace.advance(hasChanged: collector?.sweep() ?? false)
        measure(withPSS: false)
        collector?.warmUp(minimumAge: Self.warmUpAge)
    }

    /// Programs that are about to end wait for this.
    private func takeLastCensuses() {
        guard let created = requests?.take(), !created.isEmpty else { return }
        // When it has ended nothing can be measured.
        if collector?.hasProgram(created: created) ?? false { measure(withPSS: false, isLast: true) }
        collector?.takeLast(created)
    }

    private func measure(withPSS: Bool, isLast: Bool = false) {
        let shim = collector?.shimUse(now: isLast) ?? [:]
        let start = Clocks.threadNanoseconds
        if let figures = watch.figures(of: process.pid, shim: shim, withPSS: withPSS) {
            lastFigures = figures
            if withPSS {
                pssCost.spent(Clocks.threadNanoseconds &- start, until: Clocks.monotonicNanoseconds)
            }
            if !shim.isEmpty { summary.shimBytes = figures.shimBytes }
        }
    }

    private func checkpoint() {
        // All of one moment; names come after it and may take their time.
        measure(withPSS: pssCost.isDue(at: Clocks.monotonicNanoseconds))
        let capture = collector?.capture(withTypes: options.types != nil)
        let (time, moment) = (Clocks.wallTime, elapsed)
        let view = view(capture)
        // Without a region there is no figure, which is not the figure 0.
        let known = collector?.hasSeenRegions ?? false ? view : nil
        var checkpoint = makeCheckpoint(known, time: time, elapsed: moment) { $0.profile }
        checkpoint.problems = checkpointProblems()
        checkpoint.types = compare(known?.types, at: moment)
        // In this order: what has been on the screen is in the history too, even if we are killed now.
        record(checkpoint)
        if let view, options.profileNaming?.hasCheckpoint ?? false {
            var session = summary
            session.duration = moment
            session.profile = view.final
            session.processes = view.records
            session.gauges = view.lastGauges
            saveProfile(session, checkpoint: checkpoint.number)
        }
        show(
            CheckpointText.render(
                checkpoint, layout: screen.layout, sizeClassLimit: options.rows, types: typeOptions))
    }

    private func view(_ capture: RegionCollector.Capture?) -> SessionView? {
        guard let collector, let capture else { return nil }
        return collector.view(capture, figures: lastFigures.map { [process.pid: $0] } ?? [:])
    }

    private func makeCheckpoint(
        _ view: SessionView?, time: WallTime, elapsed: Double, profile: (SessionView) -> Profile
    ) -> Checkpoint {
        var checkpoint = tracker.checkpoint(
            time: time, elapsed: elapsed, figures: lastFigures, profile: view.map(profile))
        checkpoint.markers = view?.markers ?? []
        checkpoint.gauges = view?.gauges ?? []
        summary.add(markers: checkpoint.markers, earlier: view?.missedMarkers ?? 0)
        summary.series.add(checkpoint)
        return checkpoint
    }

    /// Called while names are looked up, which can take many seconds: a signal sent to the launcher must
    /// reach the target meanwhile, Ctrl+Z must stop both, and processes come and go. Once the target has ended,
    /// Ctrl+C ends the wait.
    private func attend() {
        let now = Clocks.monotonicNanoseconds
        guard now &- lastAttended > 100_000_000 else { return }
        lastAttended = now
        if let endedNanoseconds {
            if now &- endedNanoseconds > 2_000_000_000 { process.restoreSignals() }
            return
        }
        collector?.glance()
        while let event = try? process.nextEvent(timeout: .nanoseconds(1)) {
            switch event {
            case .timeout, .exited, .signaled, .ended, .detached: return
            case .readable: takeLastCensuses()
            case .stopped, .continued, .interrupted: continue
            }
        }
    }

    private func finish() {
        endedNanoseconds = Clocks.monotonicNanoseconds
        summary.duration = elapsed
        let time = Clocks.wallTime
        if let largest = process.usage?.maxRSSBytes, largest > ownLargestRSS { summary.largestRSS = largest }
        // Of a process that goes on this is the last look.
        if summary.ending == .running { measure(withPSS: true, isLast: true) }
        let view = view(collector?.capture())
        takeTypesAtExit()
        noteProblems()
        if collector?.hasSeenRegions ?? false {
            summary.profile = view?.final
            summary.processes = view?.records ?? []
            summary.gauges = view?.lastGauges ?? []
        }
        if let profile = summary.profile { summary.hints = symbols.notes(on: profile) }
        let known = summary.profile == nil ? nil : view
        record(makeCheckpoint(known, time: time, elapsed: summary.duration) { $0.last })
        finishHistory()
        summary.profilePath = saveProfile(summary, checkpoint: summary.series.checkpoints.count)
        writeJSON()
        var finalOptions = FinalReport.Options(limit: options.rows, filter: options.filter)
        finalOptions.types = typeOptions
        // The terminal has written ^C and left the cursor behind it.
        let isMidLine =
            screen.isTerminal && (summary.ending.isFromKeyboard || summary.ending == .running)
        show(
            (isMidLine ? "\n" : "")
                + FinalReport.render(summary, layout: screen.layout, options: finalOptions))
        removeSession()
    }
}
