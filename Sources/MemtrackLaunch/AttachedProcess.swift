// SPDX-License-Identifier: Apache-2.0

import CMemtrackSpawn
import Glibc

/// A process that was there before, and stays when the watch ends: nothing is done to it.
///
/// SIGINT, SIGTERM, SIGHUP and SIGQUIT end the watch, not this process, unless they were ignored at its start (nohup,
/// a background job).
public final class AttachedProcess: WatchedProcess {
    public let pid: Int32
    public var usage: TargetUsage? { nil }
    public var alsoWatched: Int32 = -1

    private let signals: Int32
    private let handle: Int32
    private var end: TargetEvent?

    /// Whoever has this PID now: a later process of the same number is never taken for it.
    public init(pid: Int32) throws(LaunchError) {
        self.pid = pid
        var handle: Int32 = -1
        let code = memtrack_spawn_open_process(pid, &handle)
        guard code == 0 else { throw .cannotAttach(pid: pid, code: code) }
        var signals: Int32 = -1
        let watched = memtrack_spawn_watch(&signals)
        guard watched == 0 else {
            close(handle)
            throw watched == EBUSY ? .alreadyWatching : .cannotAttach(pid: pid, code: watched)
        }
        self.handle = handle
        self.signals = signals
    }

    deinit {
        memtrack_spawn_unwatch()
        close(handle)
    }

    public func nextEvent(timeout: Duration?) throws(LaunchError) -> TargetEvent {
        let clock = ContinuousClock()
        let deadline = timeout.map { clock.now.advanced(by: $0) }
        while true {
            if let end { return end }
            let left = deadline.map { clock.now.duration(to: $0) }
            if let left, left <= .zero { return .timeout }
            // poll(2) ignores a negative descriptor.
            var pollers = [signals, alsoWatched, handle].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            guard poll(&pollers, 3, left?.pollMilliseconds ?? -1) > 0 else { continue }
            if pollers[0].revents != 0 { takeSignals() }
            if pollers[2].revents != 0 { end = .ended }
            if end == nil, pollers[1].revents & Int16(POLLIN) != 0 { return .readable }
        }
    }

    public func restoreSignals() { memtrack_spawn_unwatch() }

    private func takeSignals() {
        var record = memtrack_spawn_signal()
        let size = MemoryLayout<memtrack_spawn_signal>.size
        while read(signals, &record, size) == size {
            switch record.number {
            case SIGTSTP: memtrack_spawn_stop_self(SIGTSTP)
            case SIGINT, SIGTERM, SIGHUP, SIGQUIT:
                if !memtrack_spawn_was_ignored(record.number) { end = .detached }
            default: break
            }
        }
    }
}
