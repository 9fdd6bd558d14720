// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
internal import MemtrackRegion
public import MemtrackReport

/// All regions of the calling user, in the bases and in the sessions of launchers.
public struct RegionCatalog: Sendable {
    private let procfs = Procfs()

    public init() {}

    /// Oldest first. A file that is no region, or not readable, has an entry with the reason.
    public func entries() -> [RegionListEntry] {
        var result: [RegionListEntry] = []
        for base in SessionDirectory.bases(uid: geteuid()) {
            for directory in [SessionDirectory(path: base)] + SessionDirectory.sessions(inBase: base) {
                let files = directory.regionFiles()
                result += files.map { entry(of: $0, among: files) }
            }
        }
        return result.sorted { $0.createdMonotonicNanoseconds < $1.createdMonotonicNanoseconds }
    }

    /// The newest region of a process.
    public func newest(pid: Int32) throws(SessionError) -> RegionListEntry {
        if let entry = entries().last(where: { $0.pid == pid && $0.problem == nil }) { return entry }
        throw (try? procfs.identity(of: pid)) == nil ? .noSuchProcess(pid: pid) : .noRegion(pid: pid)
    }

    /// Removes a region's file, and its session directory when that was its last.
    public func remove(_ entry: RegionListEntry) throws(SessionError) {
        if unlink(entry.path) != 0 && errno != ENOENT { throw .cannotWrite(path: entry.path, errno: errno) }
        let directory = String(entry.path.prefix(upTo: entry.path.lastIndex(of: "/") ?? entry.path.startIndex))
        if directory.contains("/session-") { rmdir(directory) }
    }

    private func entry(of name: RegionFileName, among files: [RegionFileName]) -> RegionListEntry {
        var entry = RegionListEntry(
            path: name.path, pid: name.pid, createdMonotonicNanoseconds: name.createdMonotonicNanoseconds)
        do throws(RegionError) {
            let file = try RegionFile(path: name.path)
            let identity = try file.identity()
            let totals = try file.snapshot().totals
            entry.residentBytes = try file.ownMemory().regionBytes
            entry.program = identity.executable
            entry.arguments = identity.arguments
            entry.startedRealtimeNanoseconds = identity.createdRealtimeNanoseconds
            let isNewest = !files.contains { other in
                other.pid == name.pid && other.createdMonotonicNanoseconds > name.createdMonotonicNanoseconds
            }
            entry.isAlive = isNewest && procfs.isAlive(pid: identity.pid, startTicks: identity.startTicks)
            entry.allocations = totals.allocations
            entry.liveBytes = totals.liveBytes
        } catch {
            entry.problem = error.description
        }
        return entry
    }
}
