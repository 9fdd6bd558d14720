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
    private let namespace: UInt64?

    init() {
        bootID = try? procfs.bootID()
        namespace = try? procfs.pidNamespace(of: getpid())
    }

    /// - Parameter siblings: the regions of its directory: a newer one of the same PID is that of the program
    ///   that has taken this one's place.
    func state(of identity: RegionIdentity, among siblings: [RegionFileName]) -> State {
        if let bootID, !identity.bootID.isEmpty, identity.bootID != bootID { return .ended }
        if let namespace, identity.pidNamespace != 0, identity.pidNamespace != namespace { return .elsewhere }
        let isReplaced = siblings.contains { other in
            other.pid == identity.pid
                && other.createdMonotonicNanoseconds > identity.createdMonotonicNanoseconds
        }
        let isAlive = procfs.isAlive(pid: identity.pid, at: identity.createdBoottimeNanoseconds)
        guard isAlive, !isReplaced else { return .ended }
        return procfs.runs(identity) ? .running : .ended
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

extension Procfs {
    /// Whether a living process still runs the program of a region: it may have replaced itself by one that the library
    /// cannot be loaded into. True where that is not known.
    func runs(_ identity: RegionIdentity) -> Bool {
        guard let executable = try? executable(of: identity.pid) else { return true }
        return executable == identity.executable || executable == identity.executable + " (deleted)"
            // The region has room for so much of it.
            || (identity.executable.utf8.count >= 500 && executable.hasPrefix(identity.executable))
    }
}
