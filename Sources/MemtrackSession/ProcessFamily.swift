// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProcfs
internal import MemtrackRegion

/// A process and its descendants, as their regions come to light: each says who its parent was, and the kernel knows those
/// that live. One whose parents had no regions, and that has ended before it was seen, is not found.
final class ProcessFamily {
    private let root: Int32
    private let procfs: Procfs
    private var members: Set<Int32>
    private let start: ProcessIdentity?

    init(of root: Int32, procfs: Procfs) {
        self.root = root
        self.procfs = procfs
        start = try? procfs.identity(of: root)
        members = [root]
    }

    /// Whether the process of a region belongs to it; it does from then on.
    func takes(_ identity: RegionIdentity) -> Bool {
        // A parent of that number, of a region that is older than the root, was another process.
        if let start,
            !procfs.hasStarted(start, at: identity.createdBoottimeNanoseconds, byClockOf: identity.pid)
        {
            return false
        }
        let isMember =
            members.contains(identity.pid) || members.contains(identity.parentPID)
            || procfs.descendants(of: root).contains { $0.pid == identity.pid }
        if isMember { members.insert(identity.pid) }
        return isMember
    }

    /// It has ended: its number may be another process's from now on.
    func leaves(_ pid: Int32) {
        if pid != root { members.remove(pid) }
    }
}
