// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
internal import MemtrackRegion
public import MemtrackReport

/// All regions of the calling user, in the bases and in the sessions of launchers.
public struct RegionCatalog: Sendable {
    private let procfs = Procfs()
    private let liveness = Liveness()

    public init() {}

    private static var directories: [SessionDirectory] {
        SessionDirectory.bases(uid: geteuid()).flatMap {
            [SessionDirectory(path: $0)] + SessionDirectory.sessions(inBase: $0)
        }
    }

    /// Oldest first. A file that is no region, or not readable, has an entry with the reason.
    /// - Parameter endedLimit: of the processes that have ended, this many of the newest are listed.
    public func entries(endedLimit: Int = .max) -> (shown: [RegionListEntry], hidden: Int) {
        liveness.refresh()
        var entries = Self.directories.flatMap { directory in
            let files = directory.regionFiles()
            let siblings = Dictionary(grouping: files, by: \.pid)
            return files.map { entry(of: $0, among: siblings[$0.pid] ?? []) }
        }
        entries.sort { $0.createdMonotonicNanoseconds < $1.createdMonotonicNanoseconds }
        var hidden = entries.count { $0.hasEnded } - endedLimit
        let count = max(0, hidden)
        entries.removeAll { entry in
            guard entry.hasEnded, hidden > 0 else { return false }
            hidden -= 1
            return true
        }
        return (entries.map(withTotals), count)
    }

    /// The newest region of a process: of one that runs, if there is one.
    public func newest(pid: Int32) throws(SessionError) -> RegionListEntry {
        // One of another PID namespace has called itself by the last of its numbers.
        let inner = procfs.numbers(of: pid)?.last ?? pid
        liveness.refresh()
        let entries = Self.directories.flatMap { directory in
            let files = directory.regionFiles().filter { $0.pid == pid || $0.pid == inner }
            return files.map { entry(of: $0, among: files) }
        }
        let readable = entries.filter { $0.problem == nil && $0.pid == pid }
            .sorted { $0.createdMonotonicNanoseconds < $1.createdMonotonicNanoseconds }
        if let entry = readable.last(where: \.isAlive) ?? readable.last { return entry }
        throw (try? procfs.identity(of: pid)) == nil ? .noSuchProcess(pid: pid) : .noRegion(of: pid)
    }

    /// Regions that nobody needs any more: their processes have ended, and no launcher is going to read them.
    public func removable() -> [RegionListEntry] {
        liveness.refresh()
        return Self.directories.flatMap { directory -> [RegionListEntry] in
            if let session = LauncherSession(path: directory.path), liveness.hasLauncher(session) {
                return []
            }
            let files = directory.regionFiles()
            let siblings = Dictionary(grouping: files, by: \.pid)
            return files.map { entry(of: $0, among: siblings[$0.pid] ?? []) }
                .filter(\.hasEnded)
        }
    }

    /// Traces of processes that found no room for a region, where no launcher is going to read them.
    public func traces() -> [String] {
        Self.directories.flatMap { directory -> [String] in
            if let session = LauncherSession(path: directory.path), liveness.hasLauncher(session) {
                return []
            }
            return directory.lostFiles()
        }
    }

    /// Removes the trace of a process.
    public func removeTrace(_ path: String) throws(SessionError) {
        if unlink(path) != 0 && errno != ENOENT { throw .cannotWrite(path: path, errno: errno) }
    }

    /// Removes a region's file.
    public func remove(_ entry: RegionListEntry) throws(SessionError) {
        if unlink(entry.path) != 0 && errno != ENOENT { throw .cannotWrite(path: entry.path, errno: errno) }
    }

    /// Removes the directories of sessions that hold no region and have no launcher.
    public func removeEmptySessions() {
        for directory in Self.directories {
            if let session = LauncherSession(path: directory.path), !liveness.hasLauncher(session) {
                Monitor.remove(directory)
            }
        }
    }

    /// Reads the tables of a region for its sums: the costly part of a list.
    private func withTotals(_ entry: RegionListEntry) -> RegionListEntry {
        if entry.problem != nil { return entry }
        var entry = entry
        do throws(RegionError) {
            let snapshot = try RegionFile(path: entry.path).snapshot()
            entry.allocations = snapshot.totals.allocations
            entry.liveBytes =
                snapshot.totals.liveBytes &+ Int64(clamping: snapshot.health.inheritedFreedBytes)
        } catch {
            entry.problem = error.description
        }
        return entry
    }

    /// Memory that a file takes.
    private static func bytes(of path: String) -> UInt64 {
        var status = stat()
        return lstat(path, &status) == 0 ? UInt64(clamping: status.st_blocks) &* 512 : 0
    }

    private func entry(of name: RegionFileName, among siblings: [RegionFileName]) -> RegionListEntry {
        var entry = RegionListEntry(
            path: name.path, pid: name.pid, createdMonotonicNanoseconds: name.createdMonotonicNanoseconds)
        do throws(RegionError) {
            let file = try RegionFile(path: name.path)
            var identity = try file.identity()
            entry.residentBytes = try file.ownMemory().regionBytes
            entry.program = identity.executable
            entry.arguments = identity.arguments
            entry.startedRealtimeNanoseconds = identity.createdRealtimeNanoseconds
            let state = liveness.state(of: file, &identity, among: siblings)
            entry.pid = identity.pid
            entry.isAlive = state == .running
            entry.isElsewhere = state == .elsewhere
        } catch .otherABI(_, let found, let expected) {
            entry.problem = "made by another version of memtrack: format \(found), here \(expected)"
            entry.isOfOtherVersion = true
            entry.isAlive = procfs.isAlive(pid: name.pid, at: 0)
            entry.residentBytes = Self.bytes(of: name.path)
        } catch {
            // The path is known.
            let text = error.description
            entry.problem =
                text.hasPrefix(name.path + ": ") ? String(text.dropFirst(name.path.count + 2)) : text
        }
        return entry
    }
}

extension RegionListEntry {
    fileprivate var hasEnded: Bool { !isAlive && !isElsewhere && (problem == nil || isOfOtherVersion) }
}
