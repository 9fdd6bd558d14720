// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
internal import MemtrackRegion

/// Whether the process behind a region still runs the program that the region is about.
struct Liveness: Sendable {
    enum State: Sendable {
        case running
        case ended
        /// Its PID belongs to another PID namespace, a container say: nothing is known of it here.
        case elsewhere
    }

    private let procfs = Procfs()
    private let bootID: String?
    private let whereabouts: Whereabouts

    init() {
        bootID = try? procfs.bootID()
        whereabouts = Whereabouts(procfs: procfs)
    }

    /// To be called before regions are listed.
    func refresh() { whereabouts.refresh() }

    /// - Parameters:
    ///   - identity: what `file` says; where its process is one of another PID namespace and seen from here, it has the
    ///     numbers from here afterwards.
    ///   - siblings: the regions of its directory: a newer one of the same PID is that of the program
    ///     that has taken this one's place.
    func state(
        of file: RegionFile, _ identity: inout RegionIdentity, among siblings: [RegionFileName]
    ) -> State {
        if let bootID, !identity.bootID.isEmpty, identity.bootID != bootID { return .ended }
        let namespace = identity.pidNamespace
        switch whereabouts.place(of: file, &identity) {
        case .here: break
        case .ended: return .ended
        case .unknown: return .elsewhere
        }
        guard procfs.isAlive(pid: identity.pid, at: identity.createdBoottimeNanoseconds) else {
            return .ended
        }
        // Of two sandboxes both may have a process of that number: what the process has mapped tells.
        guard namespace == identity.pidNamespace else {
            return procfs.hasMapped(identity.pid, inode: file.inode) == false ? .ended : .running
        }
        let isReplaced = siblings.contains { other in
            other.pid == identity.pid
                && other.createdMonotonicNanoseconds > identity.createdMonotonicNanoseconds
        }
        return !isReplaced && procfs.runs(identity, file) ? .running : .ended
    }

    /// Whether the launcher of a session still runs, and reads and removes regions there itself. Its PID may
    /// have gone to another process since; that one has started after the session was made.
    func hasLauncher(_ session: LauncherSession) -> Bool {
        guard let identity = try? procfs.identity(of: session.launcherPID), !identity.hasEnded else {
            return false
        }
        var boot = timespec()
        var monotonic = timespec()
        clock_gettime(CLOCK_BOOTTIME, &boot)
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        // Start times count from boot, sleep included; sessions in CLOCK_MONOTONIC, sleep left out.
        let asleep = Double(boot.tv_sec - monotonic.tv_sec)
        let started = Double(identity.startTicks) / Double(sysconf(Int32(_SC_CLK_TCK)))
        let made = Double(session.createdMonotonicNanoseconds) / 1e9
        return started - asleep <= made + 2
    }
}

/// What the name of a session directory says: `session-LAUNCHERPID-NS`.
struct LauncherSession: Sendable {
    let launcherPID: Int32
    let createdMonotonicNanoseconds: UInt64

    /// nil if the path is not that of a launcher's session.
    init?(path: String) {
        let name = path.split(separator: "/").last ?? ""
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "session", let pid = Int32(parts[1]), pid > 0,
            let time = UInt64(parts[2])
        else { return nil }
        launcherPID = pid
        createdMonotonicNanoseconds = time
    }
}
