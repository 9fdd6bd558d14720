// SPDX-License-Identifier: Apache-2.0
import Glibc
import MemtrackLaunch
import MemtrackOptions
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import MemtrackSession

/// What the command line asked for.
struct LaunchPlan {
    var monitor = Monitor.Options()
    var wrappers = WrapperMatcher()
    /// Environment of the library.
    var settings: [(name: String, value: String)] = []
    var countsObjects = true
    var outputs = OutputOptions()
}

/// Starts the target with the library in it, and hands it to a monitor. Whatever is missing on the way, the
/// target runs if it can: with fewer figures, and a line that says why.
struct Launcher {
    let plan: LaunchPlan
    /// PROGRAM and its arguments, as text.
    let words: [String]

    /// Does not return: ends as the target ended.
    func run() -> Never {
        let environment = Environment.current()
        var notes: [String] = []
        do throws(LaunchError) {
            // The last words as bytes: an argument need not be UTF-8.
            let arguments = Array(rawArguments().suffix(words.count))
            let inspection = try TargetInspector(environment: environment).inspect(arguments[0])
            if access("/proc/self/stat", F_OK) != 0 {
                warn(
                    "/proc is not mounted, so nothing is known of the size of processes, and little of children; "
                        + "mount it with: mount -t proc proc /proc", &notes)
            }
            var directory: SessionDirectory?
            var targetEnvironment = environment
            if plan.countsObjects {
                for warning in inspection.warnings { warn(warning.description, &notes) }
                if inspection.canPreload { directory = makeSession(&notes) }
                if let session = directory {
                    do {
                        targetEnvironment = try preloading(environment, session)
                    } catch {
                        warn("\(error); only procfs figures are shown", &notes)
                        Monitor.remove(session)
                        directory = nil
                    }
                }
            }
            let screen = plan.outputs.screen(
                or: .standardError(environment: Variables.current), named: "standard error", complain: say)
            var options = TargetProcess.Options()
            options.announcesLauncher = directory != nil
            let requests = plan.monitor.types == nil ? nil : directory.flatMap { CensusRequests(in: $0) }
            let start = Moment.now
            let process: TargetProcess
            do throws(LaunchError) {
                process = try TargetProcess(
                    path: inspection.path, arguments: arguments, environment: targetEnvironment,
                    options: options)
            } catch {
                if let directory { Monitor.remove(directory) }
                throw error
            }
            // The target has its own disposition already; a report that nobody reads must not kill us.
            signal(SIGPIPE, SIG_IGN)
            let monitor = Monitor(
                process: process, start: start, program: baseName(inspection.path), commandLine: words,
                regions: directory.map { .ofSession($0) } ?? .none, requests: requests,
                wrappers: plan.wrappers, options: plan.monitor, screen: screen, notes: notes, complain: say)
            if let outcome = try monitor.run() { process.finish(with: outcome) }
            exit(0)  // never: what was started here is seen to end
        } catch {
            say("\(error)")
            exit(error.exitCode)
        }
    }

    private func makeSession(_ notes: inout [String]) -> SessionDirectory? {
        do {
            return try SessionDirectory.create(
                launcherPID: getpid(), monotonicNanoseconds: Clocks.monotonicNanoseconds)
        } catch {
            warn("\(error); only procfs figures are shown", &notes)
            return nil
        }
    }

    private func preloading(_ environment: Environment, _ session: SessionDirectory) throws -> Environment {
        let library = try PreloadLibrary.locate(
            executable: PreloadLibrary.ownExecutable,
            override: environment["MEMTRACK_PRELOAD_LIBRARY"]?.description)
        return try PreloadEnvironment.prepare(
            environment, library: library, settings: plan.settings + [("MEMTRACK_SESSION", session.path)],
            link: PreloadEnvironment.symbolicLink(in: session.path))
    }

    private func warn(_ text: String, _ notes: inout [String]) {
        say("warning: \(text)")
        notes.append(text)
    }

    private func say(_ text: String) {
        OutputFile.complain("memtrack-preload: \(Escape.text(text))\n")
    }

    private func baseName(_ path: RawString) -> String { Frame.baseName(path.description) }
}
