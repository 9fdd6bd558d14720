// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
internal import MemtrackRegion
internal import Synchronization

/// Where the processes of regions are. One of another PID namespace (a container, a sandbox) says in its region what numbers it
/// has there; here it has others, and those may be anybody's.
final class Whereabouts: Sendable {
    enum Place: Sendable {
        /// It may run, under the number that its identity has now.
        case here
        case ended
        /// It may run, but nothing of it can be seen.
        case unknown
    }

    private let procfs: Procfs
    private let own: UInt64?
    private let foreign = Mutex<ForeignProcesses?>(nil)

    init(procfs: Procfs) {
        self.procfs = procfs
        own = try? procfs.pidNamespace(of: getpid())
    }

    /// To be called before regions are listed: what has come since is looked for.
    func refresh() { foreign.withLock { $0 = nil } }

    /// Finds the process of a region that was listed. One that is here has the numbers from here in `identity` and in
    /// all that is read of `file` from then on.
    func place(of file: RegionFile, _ identity: inout RegionIdentity) -> Place {
        guard let own, identity.pidNamespace != 0, identity.pidNamespace != own else { return .here }
        let (pid, parent, namespace) = (identity.pid, identity.parentPID, identity.pidNamespace)
        let (place, parentPlace) = foreign.withLock { table in
            let known = table ?? ForeignProcesses(procfs, own: own)
            table = known
            return (known.place(of: pid, in: namespace), known.place(of: parent, in: namespace))
        }
        switch place {
        case .ended:
            // Nobody knows its number here any more; its parent's shows where it belongs.
            if case .here(let parent) = parentPlace {
                identity.parentPID = parent
                file.renumber(pid: pid, parentPID: parent, namespace: namespace)
            }
            return .ended
        case .unknown: return .unknown
        case .here(let pid):
            identity.pid = pid
            identity.parentPID = (try? procfs.identity(of: pid).parentPID) ?? 0
            identity.pidNamespace = own
            file.renumber(pid: pid, parentPID: identity.parentPID, namespace: own)
            return .here
        }
    }
}

extension Procfs {
    /// Whether a living process still runs the program of a region: it may have replaced itself by one that the library
    /// cannot be loaded into. True where that is not known.
    func runs(_ identity: RegionIdentity, _ file: RegionFile) -> Bool {
        guard let executable = try? executable(of: identity.pid) else { return true }
        return executable == identity.executable || executable == identity.executable + " (deleted)"
            // The region has room for so much of it.
            || (identity.executable.utf8.count >= 500 && executable.hasPrefix(identity.executable))
            // Its file may have another name where it is, or has been moved: then this is the costly way.
            || hasMapped(identity.pid, inode: file.inode) == true
    }
}
