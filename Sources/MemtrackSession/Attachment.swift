// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackLaunch
internal import MemtrackProcfs
internal import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackReport

/// A process that runs already, and what a monitor needs of it.
public struct Attachment {
    public let process: AttachedProcess
    public let program: String
    public let commandLine: [String]
    /// Of the program, as far as it is counted; of the process where it is not.
    public let start: Moment
    /// By how much the clock of `start` is ahead of ours: the process may have a clock of its own.
    public let clockOffset: Int64
    public let regions: Monitor.Regions
    /// What the reader of the report must know.
    public let notes: [String]

    public init(pid: Int32) throws {
        if let process = try? Procfs().process(ofThread: pid), process != pid {
            throw SessionError.isThread(pid, of: process)
        }
        process = try AttachedProcess(pid: pid)
        if let entry = try? RegionCatalog().newest(pid: pid), entry.isAlive,
            let identity = try? RegionFile(path: entry.path).identity(),
            let end = entry.path.lastIndex(of: "/")
        {
            program = Frame.baseName(identity.executable)
            commandLine = identity.arguments
            start = Moment(
                wall: Clocks.wallTime(unixNanoseconds: identity.createdRealtimeNanoseconds),
                monotonicNanoseconds: identity.createdMonotonicNanoseconds)
            clockOffset = Procfs().clockOffset(of: pid, .monotonic)
            regions = .ofProcess(in: SessionDirectory(path: String(entry.path[..<end])))
            notes = []
            return
        }
        let procfs = Procfs()
        let identity = try procfs.identity(of: pid)
        program = (try? procfs.executable(of: pid)).map(Frame.baseName) ?? identity.comm
        commandLine = (try? procfs.commandLine(of: pid)) ?? []
        start = Clocks.moment(ofTicks: identity.startTicks)
        clockOffset = 0
        regions = .none
        notes = [SessionError.noRegion(of: pid).description]
    }
}
