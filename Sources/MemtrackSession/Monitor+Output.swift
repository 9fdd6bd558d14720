// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackLaunch
internal import MemtrackObjects
internal import MemtrackProcfs
internal import MemtrackProfile
public import MemtrackRegion
internal import MemtrackReport

// What is left behind: history, JSON, notes, the session directory.
extension Monitor {
    /// - Returns: where the JSON goes; nil where it was not asked for, or it is plain already that it cannot go there.
    static func checkedJSON(_ path: String?, _ complain: (String) -> Void) -> String? {
        guard let path else { return nil }
        do throws(SessionError) {
            try OutputFile.check(path)
            return path
        } catch {
            complain("warning: \(error); no JSON is written")
            return nil
        }
    }

    var typeOptions: TypeTableText.Options { options.types ?? TypeTableText.Options() }

    /// Types of this moment beside those of the last, for the checkpoint; beside the first, for the final report.
    func compare(_ types: TypeTable?, at moment: Double) -> TypeTable? {
        guard var types else { return nil }
        types.elapsed = moment
        let compared = types.compared(with: lastTypes)
        // A look that failed, at a process that was about to end say, does not undo the one before.
        if types.processes > 0 {
            summary.types = types.compared(with: firstTypes)
            firstTypes = firstTypes ?? types
            lastTypes = types
        } else if summary.types == nil {
            summary.types = compared
        } else if let known = summary.types, known.processes > 0 {
            summary.types?.problems = types.problems
        }
        return compared
    }

    /// What the program held when it ended takes the place of the last look, if it waited for that; that of its children
    /// alone does where there has been no other.
    func takeTypesAtExit() {
        guard var types = collector?.typesAtExit, types.processes > 0,
            lastTypes == nil || collector?.lastCensuses.contains(process.pid) ?? false
        else { return }
        types.elapsed = summary.duration
        types.isAtExit = true
        summary.types = types.compared(with: firstTypes)
    }

    /// A directory that cannot be written is better known now than after a week.
    func checkHistory() {
        guard let directory = options.historyDirectory else { return }
        do throws(SessionError) {
            try HistoryFile.check(directory: directory)
        } catch {
            complain("warning: \(error)")
            hasComplainedOfHistory = true
        }
    }

    /// A report that cannot be written does not stop the session; where a file was asked for, it is on standard error from
    /// then on.
    func show(_ text: @autoclosure () -> String) {
        if options.isQuiet { return }
        do throws(SessionError) {
            try screen.write(text())
        } catch {
            if screen.isFile {
                complain("warning: \(error); reports go to standard error")
                screen = .standardError(environment: Variables.current)
                return show(text())
            }
            if !hasComplainedOfScreen { complain("warning: \(error)") }
            hasComplainedOfScreen = true
        }
    }

    func record(_ checkpoint: Checkpoint) {
        guard let history else { return }
        do throws(SessionError) {
            try history.add(checkpoint, session: summary, types: typeOptions)
        } catch {
            complainOfHistory(error)
        }
    }

    func finishHistory() {
        guard let history else { return }
        do throws(SessionError) {
            try history.finish(summary)
        } catch {
            complainOfHistory(error)
        }
        if history.isWritten { summary.historyPath = history.path }
    }

    func complainOfHistory(_ error: SessionError) {
        if !hasComplainedOfHistory { complain("warning: \(error)") }
        hasComplainedOfHistory = true
    }

    func writeJSON() {
        guard let jsonPath else { return }
        do {
            var shown = summary
            shown.types = summary.types?.showing(options.types?.filter)
            try OutputFile.replace(jsonPath, with: try ReportJSON.report(shown))
            summary.jsonPath = jsonPath
        } catch {
            complain("warning: \(error); no JSON is written")
        }
    }

    /// A place that cannot be written is better known now than after a week. The history's own directory has been
    /// looked at.
    func checkProfile() {
        guard let naming = options.profileNaming, options.historyDirectory == nil || options.profileIsAskedFor
        else { return }
        do throws(SessionError) {
            try OutputFile.check(naming.path(summary, checkpoint: 1))
        } catch {
            complain("warning: \(error); no profile is saved")
            hasComplainedOfProfile = true
        }
    }

    /// - Returns: where it is; nil where it is not.
    @discardableResult
    func saveProfile(_ session: SessionSummary, checkpoint: Int) -> String? {
        guard let naming = options.profileNaming else { return nil }
        guard session.profile != nil else {
            if options.profileIsAskedFor {
                complain("warning: no allocation was counted, so no profile is saved")
            }
            return nil
        }
        let path = naming.path(session, checkpoint: checkpoint)
        do throws(SessionError) {
            if !options.profileIsAskedFor, let directory = options.historyDirectory {
                try OutputFile.makeDirectory(directory)
            }
            try SavedProfile.write(LoadedProfile(name: path, summary: session), to: path)
            return path
        } catch {
            // Of the history's directory the user has been told.
            let isKnown = hasComplainedOfHistory && !options.profileIsAskedFor
            if !hasComplainedOfProfile && !isKnown { complain("warning: \(error); no profile is saved") }
            hasComplainedOfProfile = true
            return nil
        }
    }

    func noteProblems() {
        guard let collector else { return }
        if let directory { noteSession(collector, directory) }
        summary.notes += collector.problems
        if options.types == nil { return }
        let ways = collector.pythons.sorted { $0.text < $1.text }
        summary.notes += ways.filter { !$0.isUsual }.prefix(4).map(\.text)
        summary.types?.ways = ways.filter(\.isUsual).prefix(4).map(\.text)
        if summary.types == nil, collector.hasSeenRegions {
            summary.notes.append(
                "No types: they are looked at while the program runs, and it ended before the first checkpoint "
                    + "(only CPython waits at its end); try a shorter --interval.")
        }
    }

    private func lostNote(_ collector: RegionCollector, _ directory: SessionDirectory) -> String? {
        guard collector.lostProcesses > 0 else { return nil }
        let count = FigureText.plural(collector.lostProcesses, "process", "processes")
        return
            "\(count) found no room to count in (\(directory.path), ulimit -f, or ulimit -v): in no figure of this "
            + "report."
    }

    /// What a checkpoint has to say at once: a server may run for days until its final report does.
    func checkpointProblems() -> [String] {
        guard let collector, let directory else { return [] }
        let uncounted = collector.uncountedNotes
        if let lost = lostNote(collector, directory) { return [lost] + uncounted }
        if collector.hasSeenRegions || !uncounted.isEmpty { return uncounted }
        return collector.problems.isEmpty
            ? ["No allocation has been counted so far."] : collector.problems
    }

    private func noteSession(_ collector: RegionCollector, _ directory: SessionDirectory) {
        if !collector.hasSeenRegions {
            summary.notes.append(
                "No allocation was counted: the loader did not load the library into the program, or no region "
                    + "could be made: no room in \(directory.path) (see df there, and ulimit -f), or an address space "
                    + "of less than 128 MB (ulimit -v).")
        }
        if let lost = lostNote(collector, directory) { summary.notes.append(lost) }
        if options.keepsRegions, collector.hasSeenRegions {
            summary.notes.append(
                "The regions are kept in \(directory.path); look into one with: memtrack report --region FILE"
            )
        }
        let living = Set(collector.livingPIDs).sorted()
        if let first = living.first {
            let list = living.prefix(8).map(String.init).joined(separator: ", ")
            summary.notes.append(
                "\(living.count == 1 ? "A process" : "\(living.count) processes") of this session still "
                    + "run\(living.count == 1 ? "s" : "") (PID \(list)\(living.count > 8 ? ", …" : "")) and "
                    + "\(living.count == 1 ? "is" : "are") still being counted; "
                    + "look again with: memtrack report --pid \(first)")
        }
    }

    /// Removes the session unless a process that lives on still counts in it.
    func removeSession() {
        guard let directory else { return }
        unlink(directory.path + "/" + CensusRequests.fileName)
        if collector?.livingPIDs.isEmpty ?? true { Self.remove(directory) }
    }

    /// Removes a session's directory if it holds no region, and nobody lives who may yet make one: a daemon that has
    /// not allocated since its fork.
    public static func remove(_ directory: SessionDirectory) {
        unlink(directory.path + "/" + CensusRequests.fileName)
        let launcher = LauncherSession(path: directory.path)?.launcherPID ?? getpid()
        guard directory.regionFiles().isEmpty,
            Procfs().processes(above: launcher, startedWith: "MEMTRACK_SESSION=" + directory.path).isEmpty
        else { return }
        for path in directory.lostFiles() { unlink(path) }
        unlink(directory.path + "/" + PreloadLibrary.fileName)  // the link that PreloadEnvironment makes
        _ = try? directory.removeSelf()
    }
}
