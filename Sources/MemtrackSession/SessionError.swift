// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs

/// What can go wrong at the edges of a session.
public enum SessionError: Error, Sendable, Hashable, CustomStringConvertible {
    case cannotWrite(path: String, errno: Int32)
    case cannotMakeDirectory(path: String, errno: Int32)
    case libraryMissing(searched: [String])
    /// There is a file, but the loader would refuse it.
    case libraryUnusable(path: String, reason: String)
    case noSuchProcess(pid: Int32)
    case noRegion(pid: Int32)
    case isThread(Int32, of: Int32)
    case ofAnotherUser(pid: Int32, user: UInt32)
    case cannotRead(path: String, errno: Int32)
    /// More bytes than a profile may have.
    case tooLarge(path: String, limit: Int)
    /// `reason` says what is wrong and what to do.
    case unusableProfile(path: String, reason: String)

    public var description: String {
        switch self {
        case .cannotWrite(let path, let code):
            "cannot write \(path): \(Self.reason(code)); \(Self.wayOut(code))"
        case .cannotMakeDirectory(let path, let code):
            "cannot make the directory \(path): \(Self.reason(code)); use --history-dir DIR or --no-history"
        case .libraryMissing(let searched):
            "libmemtrack_preload.so not found in \(searched.joined(separator: ", ")); "
                + "set MEMTRACK_PRELOAD_LIBRARY to its path, or install again"
        case .libraryUnusable(let path, let reason):
            "\(path): cannot be preloaded: \(reason); "
                + "set MEMTRACK_PRELOAD_LIBRARY to libmemtrack_preload.so, or unset it"
        case .cannotRead(let path, let code):
            "cannot read \(path): \(Self.reason(code)); "
                + (code == EISDIR ? "name a file in it" : "give the path of a saved profile")
        case .tooLarge(let path, let limit):
            "\(path): larger than \(limit >> 20) MB, which no profile is; "
                + "give a file that memtrack-preload --output has written"
        case .unusableProfile(let path, let reason): "\(path): \(reason)"
        case .noSuchProcess(let pid):
            "no process has the PID \(pid), and it has left no region; memtrack list shows what there is"
        case .noRegion(let pid):
            "process \(pid) does not run under memtrack-preload, so nothing is known of its allocations; "
                + "start it with memtrack-preload PROGRAM, or with LD_PRELOAD=…/libmemtrack_preload.so"
        case .isThread(let thread, let process):
            "\(thread) is a thread of process \(process); give --pid \(process)"
        case .ofAnotherUser(let pid, let user):
            "process \(pid) is user \(user)'s, and what may be counted of it is that user's to read, not even root's; "
                + "use sudo -u '#\(user)' memtrack"
        }
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

    private static func wayOut(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "free some space there, or name another place"
        case EISDIR: "name a file in it"
        case EBADF: "it is closed"
        default: "name a place that you can write to"
        }
    }
}

extension SessionError {
    /// Why there is none of a process that lives, as far as that can be told.
    static func noRegion(of pid: Int32) -> SessionError {
        if let process = try? Procfs().process(ofThread: pid), process != pid {
            return .isThread(pid, of: process)
        }
        guard let user = try? Procfs().user(of: pid), user != geteuid() else { return .noRegion(pid: pid) }
        return .ofAnotherUser(pid: pid, user: user)
    }
}
