// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Why a region, or the directory that holds it, cannot be used. Each case names the file first.
///
/// File names are untrusted text: escape `description` before it reaches a terminal.
public enum RegionError: Error, Sendable, Hashable {
    case notFound(String)
    /// The file is something else; the second value says what.
    case notARegion(String, String)
    case otherABI(String, found: UInt32, expected: UInt32)
    /// `expected` and `found` are sizes in bytes.
    case truncated(String, expected: UInt64, found: UInt64)
    /// The file or directory belongs to another user.
    case notOwned(String, owner: UInt32)
    /// A directory that other users may enter or write to; the second value is its permission bits.
    case notPrivate(String, mode: UInt32)
    /// The writer has made the file but not finished its header.
    case notReady(String)
    /// The second value says which field breaks which rule.
    case corrupted(String, String)
    /// A system call failed: its name and its `errno`.
    case system(String, call: String, errno: Int32)
}

extension RegionError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let file):
            return "\(file): no such region; the process may have ended and its region been removed"
                + " (memtrack list shows what is there)"
        case .notARegion(let file, let what):
            return "\(file): not a memtrack region: \(what); name a file that memtrack list shows"
        case .otherABI(let file, let found, let expected):
            return "\(file): written by a library of region version \(found), this program reads version"
                + " \(expected); use the memtrack that was installed together with the library"
        case .truncated(let file, let expected, let found):
            return
                "\(file): cut short: \(found) of \(expected) bytes are there; the figures are lost, profile"
                + " the program again"
        case .notOwned(let file, let owner):
            return "\(file): belongs to user \(owner), not to you; run this as that user or as root"
        case .notPrivate(let file, let mode):
            return
                "\(file): mode \(String(mode, radix: 8)) lets other users in; look at what it holds, then"
                + " run chmod 700 on it or remove it"
        case .notReady(let file):
            return
                "\(file): its process has not finished making it; try again in a moment, and remove the file"
                + " if that process is dead"
        case .corrupted(let file, let what):
            return "\(file): damaged: \(what); its figures cannot be trusted, profile the program again"
        case .system(let file, let call, let code):
            return "\(file): \(call): \(String(cString: strerror(code))); \(Self.wayOut(code))"
        }
    }

    private static func wayOut(_ code: Int32) -> String {
        switch code {
        case EACCES, EPERM: "check the permissions, or run this as the user who owns it"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        case ENOMEM: "raise the limit of address space (ulimit -v) or free some memory"
        case ENOSPC, EDQUOT: "free some space on that file system"
        case EROFS: "name a place on a file system that can be written"
        case ENOTEMPTY, EEXIST: "remove what it still holds first"
        default: "see errno \(code)"
        }
    }
}
