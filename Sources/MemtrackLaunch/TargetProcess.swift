// SPDX-License-Identifier: Apache-2.0

import CMemtrackSpawn
import Glibc

/// What happened while waiting for the target.
public enum TargetEvent: Sendable, Hashable {
    case exited(status: Int32)
    case signaled(signal: Int32, coreDumped: Bool)
    /// It was stopped (Ctrl+Z, SIGSTOP). The next `nextEvent` stops the launcher in the same way, and
    /// returns after both go on; so whatever should be on the screen by then is printed before that call.
    case stopped(signal: Int32)
    case continued
    /// The time given has passed.
    case timeout
    /// The launcher got this signal. Where a process sent it to the launcher, the target has been sent it too;
    /// what a terminal sends, the target gets by itself.
    case interrupted(signal: Int32)
    /// There is something to read from `alsoWatched`.
    case readable
    /// It has ended, and how is for its parent to know.
    case ended
    /// The user wants no more of it (Ctrl+C): it goes on.
    case detached
}

/// How the target ended.
public enum TargetOutcome: Sendable, Hashable {
    case exited(status: Int32)
    case signaled(signal: Int32, coreDumped: Bool)
}

/// Resources of the target and of those of its descendants that were waited for: getrusage(2).
public struct TargetUsage: Sendable, Hashable {
    /// The largest resident set of any one of them.
    public var maxRSSBytes: UInt64
    public var userMicroseconds: UInt64
    public var systemMicroseconds: UInt64
}

/// A program that was started, as a child of this process.
///
/// To the target all is as without a launcher: process group, session, terminal, standard descriptors, signal
/// mask and dispositions. The launcher gets out of the way of the terminal until `finish`: it does not die of
/// Ctrl+C or Ctrl+\, stops and goes on when the target does, and passes on what is sent to it by `kill`. Signals
/// belong to the process, so there can be one of these at a time, used from one thread.
public final class TargetProcess: WatchedProcess {
    /// Process id, known as soon as the program runs.
    public let pid: Int32
    public private(set) var outcome: TargetOutcome?
    /// Known once it has ended.
    public private(set) var usage: TargetUsage?

    public var alsoWatched: Int32 = -1

    private let signals: Int32
    private var pendingStop: Int32?
    private var waiting: [TargetEvent] = []

    public struct Options: Sendable, Hashable {
        /// Sets `MEMTRACK_LAUNCHER_PID` in the target's environment to the process id of this process.
        public var announcesLauncher = false
        public init() {}
    }

    /// Starts `path` (already searched for), with `arguments[0]` as the name it sees. Returns when the program
    /// runs; a file that is neither ELF nor has a `#!` line runs under /bin/sh, as with execvp(3).
    public init(
        path: RawString, arguments: [RawString], environment: Environment, options: Options = Options()
    ) throws(LaunchError) {
        var environment = environment
        if options.announcesLauncher { environment["MEMTRACK_LAUNCHER_PID"] = RawString(String(getpid())) }
        var descriptor: Int32 = -1
        switch memtrack_spawn_watch(&descriptor) {
        case 0: break
        case EBUSY: throw .alreadyWatching
        case let code: throw .cannotStart(path: path, code: code)
        }
        var pid: pid_t = 0
        let code = path.withCString { path in
            withCStrings(arguments) { arguments in
                withCStrings(environment.entries) { memtrack_spawn_start(path, arguments, $0, &pid) }
            }
        }
        guard code == 0 else {
            memtrack_spawn_unwatch()
            throw .cannotStart(path: path, code: code)
        }
        self.pid = pid
        signals = descriptor
    }

    deinit { memtrack_spawn_unwatch() }

    public func nextEvent(timeout: Duration?) throws(LaunchError) -> TargetEvent {
        let clock = ContinuousClock()
        let deadline = timeout.map { clock.now.advanced(by: $0) }
        while true {
            if let stop = pendingStop { stopToo(stop) }
            if !waiting.isEmpty { return waiting.removeFirst() }
            if let outcome { return event(of: outcome) }
            // Before waiting: the end may have come before the watch, and a record may have been lost.
            if let event = try takeStatus() { return event }
            var milliseconds: Int32 = -1
            if let deadline {
                let left = clock.now.duration(to: deadline)
                guard left > .zero else { return .timeout }
                milliseconds = left.pollMilliseconds
            }
            // poll(2) ignores a negative descriptor.
            var pollers = [signals, alsoWatched].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&pollers, 2, milliseconds) > 0 else { continue }
            if pollers[0].revents != 0 { takeSignals() }
            if pollers[1].revents & Int16(POLLIN) != 0 { return .readable }
        }
    }

    /// Ends this process as the target ended: with its status, or by its signal. Standard output streams
    /// of C are flushed.
    public func finish(with outcome: TargetOutcome) -> Never {
        memtrack_spawn_unwatch()
        switch outcome {
        case .exited(let status): exit(status)
        case .signaled(let signal, _): memtrack_spawn_die(signal)
        }
    }

    public func restoreSignals() { memtrack_spawn_unwatch() }

    private func event(of outcome: TargetOutcome) -> TargetEvent {
        switch outcome {
        case .exited(let status): .exited(status: status)
        case .signaled(let signal, let coreDumped): .signaled(signal: signal, coreDumped: coreDumped)
        }
    }

    private func takeStatus() throws(LaunchError) -> TargetEvent? {
        var status = memtrack_spawn_status()
        let code = memtrack_spawn_take_status(pid, &status)
        guard code == 0 else { throw .cannotWait(pid: pid, code: code) }
        switch UInt32(status.change) {
        case MEMTRACK_SPAWN_NONE.rawValue: return nil
        case MEMTRACK_SPAWN_STOPPED.rawValue:
            pendingStop = status.value
            return .stopped(signal: status.value)
        case MEMTRACK_SPAWN_CONTINUED.rawValue: return .continued
        case MEMTRACK_SPAWN_SIGNALED.rawValue:
            outcome = .signaled(signal: status.value, coreDumped: status.core_dumped != 0)
        default: outcome = .exited(status: status.value)
        }
        usage = TargetUsage(
            maxRSSBytes: UInt64(clamping: status.max_rss_bytes),
            userMicroseconds: UInt64(clamping: status.user_microseconds),
            systemMicroseconds: UInt64(clamping: status.system_microseconds))
        return outcome.map(event)
    }

    private func takeSignals() {
        var record = memtrack_spawn_signal()
        let size = MemoryLayout<memtrack_spawn_signal>.size
        while read(signals, &record, size) == size {
            guard record.number != SIGCHLD else { continue }
            if mustForward(record) { kill(pid, record.number) }
            // Ctrl+Z shows as a stop of the target, if it chooses to stop.
            if record.number != SIGTSTP { waiting.append(.interrupted(signal: record.number)) }
        }
    }

    private func mustForward(_ record: memtrack_spawn_signal) -> Bool {
        if record.from_process != 0 { return true }
        // What a terminal sends goes to the foreground process group, and the target is in it. But the hang-up
        // goes to the session leader alone: without a launcher that would be the target.
        return record.number == SIGHUP && getsid(0) == getpid()
    }

    /// The target has stopped: so does the launcher, for the shell to see; and once continued, the target is
    /// continued too unless whoever did that had both in mind (`fg` sends to the group).
    private func stopToo(_ signal: Int32) {
        pendingStop = nil
        guard !memtrack_spawn_was_continued(pid) else { return }
        memtrack_spawn_stop_self(signal)
        for _ in 0..<10 {
            if memtrack_spawn_was_continued(pid) { return }
            usleep(1000)
        }
        kill(pid, SIGCONT)
    }
}

/// A NULL-terminated array of C strings, valid during the call.
private func withCStrings<Result>(
    _ strings: [RawString], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { $0.withCString { strdup($0) } }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { body($0.baseAddress.unsafelyUnwrapped) }
}
