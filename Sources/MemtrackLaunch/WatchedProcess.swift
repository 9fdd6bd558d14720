// SPDX-License-Identifier: Apache-2.0

/// What a monitor follows: a program that it has started, or a process that was there before. One at a time in a
/// process, because signals belong to the process; used from one thread.
public protocol WatchedProcess: AnyObject {
    var pid: Int32 { get }
    /// Known once it has ended, of a program that was started.
    var usage: TargetUsage? { get }
    /// A descriptor of the caller's: that it can be read is an event, too; -1 for none.
    var alsoWatched: Int32 { get set }

    /// Waits, without using the processor, for the next event, at most for `timeout` (nil: without end). After
    /// its end it returns that end again.
    func nextEvent(timeout: Duration?) throws(LaunchError) -> TargetEvent

    /// Ctrl+C and the others act on this process again as before, for a long report after the end.
    func restoreSignals()
}

extension Duration {
    /// For poll(2). Rounded up, so that a loop does not spin through the last part.
    var pollMilliseconds: Int32 {
        Int32((min(self, .seconds(1_000_000)) / .milliseconds(1)).rounded(.up))
    }
}
