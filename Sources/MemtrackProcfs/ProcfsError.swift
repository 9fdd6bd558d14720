// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Why a figure could not be read. `description` is one line: what, why, and what to do.
public enum ProcfsError: Error, Sendable, Hashable {
    /// Nothing that looks like procfs is mounted at `root`.
    case notMounted(root: String)
    /// The process has ended, or cannot be seen from here.
    case noSuchProcess(pid: Int32)
    case permissionDenied(path: String)
    /// The file could be opened in principle, but the system refused with another errno.
    case unreadable(path: String, code: Int32)
    /// The file has another form than its man page says.
    case malformed(path: String, reason: String)
}

extension ProcfsError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notMounted(let root):
            "\(root): no procfs is mounted there, so nothing can be read about processes;"
                + " mount it with 'mount -t proc proc \(root)'"
        case .noSuchProcess(let pid):
            "process \(pid): not found; it has ended, lives in another PID namespace, or /proc hides it"
                + " from this user (hidepid); check the PID, or run as the owner of the process or as root"
        case .permissionDenied(let path):
            "\(path): permission denied; run as the owner of the process or as root"
        case .unreadable(let path, let code):
            "\(path): cannot be read: \(String(cString: strerror(code)))"
        case .malformed(let path, let reason):
            "\(path): not in the form that proc(5) describes: \(reason)"
        }
    }
}
