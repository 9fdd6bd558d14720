// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A directory that holds regions, as the library lays them out:
///
///     /dev/shm/memtrack-UID/                        mode 0700, the base; /tmp where /dev/shm is of no use
///         region-PID-NS                             a program that was preloaded without the launcher
///         lost-PID-NS                               empty: one that found no room for a region
///         session-LAUNCHERPID-NS/                   mode 0700, one run of the launcher
///             region-PID-NS
///
/// NS is `CLOCK_MONOTONIC` at the time of creation, in nanoseconds.
public struct SessionDirectory: Sendable, Hashable {
    public let path: String

    /// Where bases are looked for, in order of preference: memory first.
    public static let roots = ["/dev/shm", "/tmp"]

    /// Any directory of regions: a session, or a base with the regions of bare programs.
    public init(path: String) { self.path = path }

    /// The base that is used for new regions of a user: in the first root that can be written to.
    public static func base(uid: UInt32, roots: [String] = roots) -> String {
        places(uid: uid, roots: roots)[0]
    }

    /// Never empty.
    private static func places(uid: UInt32, roots: [String]) -> [String] {
        let usable = roots.filter { isDirectory($0) && access($0, W_OK | X_OK) == 0 }
        return (usable.isEmpty ? [roots.last ?? "/tmp"] : usable).map { baseName($0, uid) }
    }

    /// All bases of a user that exist. One that belongs to somebody else or is a link is left out.
    public static func bases(uid: UInt32, roots: [String] = roots) -> [String] {
        roots.map { baseName($0, uid) }.filter { path in
            var status = stat()
            return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == uid
        }
    }

    /// The launcher sessions in a base, oldest first.
    public static func sessions(inBase base: String) -> [SessionDirectory] {
        entries(of: base).compactMap { name in numbers(in: name, prefix: "session-").map { (name, $0) } }
            .sorted { ($0.1.1, $0.1.0) < ($1.1.1, $1.1.0) }
            .map { SessionDirectory(path: base + "/" + $0.0) }
    }

    /// Makes a session for a launcher that runs as the calling user, and the base if it is absent.
    ///
    /// A base that is a link, or belongs to another user, or can be entered by others is refused: `/dev/shm`
    /// and `/tmp` are open to all users of the machine. Where it belongs to another user (a process of a user namespace may
    /// have made it, under a number that is its own there alone), the next root is tried, as the library does.
    public static func create(
        launcherPID: Int32, monotonicNanoseconds: UInt64, roots: [String] = roots
    ) throws(RegionError) -> SessionDirectory {
        var refused: RegionError?
        for base in places(uid: geteuid(), roots: roots) {
            do throws(RegionError) {
                return try create(in: base, launcherPID, monotonicNanoseconds)
            } catch {
                guard error.isOfAnotherUser else { throw refused ?? error }
                refused = refused ?? error
            }
        }
        throw refused ?? .system(base(uid: geteuid(), roots: roots), call: "mkdir", errno: EACCES)
    }

    private static func create(
        in base: String, _ launcherPID: Int32, _ monotonicNanoseconds: UInt64
    ) throws(RegionError) -> SessionDirectory {
        if mkdir(base, 0o700) != 0, errno != EEXIST { throw .system(base, call: "mkdir", errno: errno) }
        let descriptor = try openPrivate(base)
        defer { close(descriptor) }
        // The time makes the name unique; the loop is for a clock that somebody set up to stand still.
        for step in 0..<UInt64(16) {
            let name = "session-\(launcherPID)-\(monotonicNanoseconds &+ step)"
            if mkdirat(descriptor, name, 0o700) == 0 { return SessionDirectory(path: base + "/" + name) }
            guard errno == EEXIST else { throw .system(base + "/" + name, call: "mkdir", errno: errno) }
        }
        throw .system(base, call: "mkdir", errno: EEXIST)
    }

    /// Bytes that the file system still has for us; nil where it does not tell, or knows no limit.
    public var freeBytes: UInt64? {
        var status = statvfs()
        guard statvfs(path, &status) == 0, status.f_blocks > 0 else { return nil }
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }

    /// The regions in this directory, oldest first. Files of other names are ignored, and so are links and
    /// directories when they are opened; a directory that cannot be read has none.
    public func regionFiles() -> [RegionFileName] {
        Self.entries(of: path).compactMap { RegionFileName(directory: path, name: $0) }
            .sorted { ($0.createdMonotonicNanoseconds, $0.pid) < ($1.createdMonotonicNanoseconds, $1.pid) }
    }

    /// Paths of the traces that processes left which found no room for a region.
    public func lostFiles() -> [String] {
        Self.entries(of: path).filter { Self.numbers(in: $0, prefix: "lost-") != nil }.map { path + "/" + $0 }
    }

    /// Removes a region of this directory. Its writer, if alive, and who has it mapped are not disturbed.
    /// That it is gone already is no error.
    public func remove(_ region: RegionFileName) throws(RegionError) {
        if unlink(region.path) != 0, errno != ENOENT {
            throw .system(region.path, call: "unlink", errno: errno)
        }
    }

    /// Removes this directory. Returns false, and removes nothing, while it holds a file: the region of a
    /// daemon, say, that outlives its launcher.
    @discardableResult
    public func removeSelf() throws(RegionError) -> Bool {
        if rmdir(path) == 0 { return true }
        switch errno {
        case ENOENT: return true
        case ENOTEMPTY, EEXIST: return false
        default: throw .system(path, call: "rmdir", errno: errno)
        }
    }
}

extension RegionError {
    /// A directory that is another user's, as far as one can see.
    fileprivate var isOfAnotherUser: Bool {
        switch self {
        case .notOwned: true
        case .system(_, let call, let code): call == "open" && code == EACCES
        default: false
        }
    }
}

/// The name of a region file: `region-PID-NS`.
public struct RegionFileName: Sendable, Hashable {
    /// Directory and name.
    public let path: String
    /// In the PID namespace of the writer.
    public let pid: Int32
    /// `CLOCK_MONOTONIC` at the creation of the region, in nanoseconds.
    public let createdMonotonicNanoseconds: UInt64

    /// nil if the name is not that of a region.
    public init?(directory: String, name: String) {
        guard let (pid, time) = SessionDirectory.numbers(in: name, prefix: "region-") else { return nil }
        path = directory + "/" + name
        self.pid = pid
        createdMonotonicNanoseconds = time
    }
}

extension SessionDirectory {
    private static func baseName(_ root: String, _ uid: UInt32) -> String { "\(root)/memtrack-\(uid)" }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Opens a directory of the calling user that nobody else can enter.
    private static func openPrivate(_ path: String) throws(RegionError) -> Int32 {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else {
            switch errno {
            case ENOTDIR, ELOOP: throw .notARegion(path, "a directory is needed here, not a file or a link")
            case let code: throw .system(path, call: "open", errno: code)
            }
        }
        var status = stat()
        let failed = fstat(descriptor, &status) != 0 ? errno : 0
        let mode = UInt32(status.st_mode & 0o7777)
        if failed == 0, status.st_uid == geteuid(), mode & 0o077 == 0 { return descriptor }
        close(descriptor)
        if failed != 0 { throw .system(path, call: "fstat", errno: failed) }
        if status.st_uid != geteuid() { throw .notOwned(path, owner: status.st_uid) }
        throw .notPrivate(path, mode: mode)
    }

    private static func entries(of path: String) -> [String] {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        guard let directory = fdopendir(descriptor) else {
            close(descriptor)
            return []
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            // d_reclen, not the size of d_name: a record is as long as its name.
            let place = MemoryLayout<dirent>.offset(of: \.d_name)!
            let capacity = Int(entry.pointee.d_reclen) - place
            names.append(sharedText(UnsafeRawPointer(entry) + place, capacity: capacity))
        }
        return names
    }

    /// The two decimal numbers of `PREFIXnumber-number`, and nothing else in the name.
    static func numbers(in name: String, prefix: String) -> (Int32, UInt64)? {
        guard name.hasPrefix(prefix) else { return nil }
        let parts = name.dropFirst(prefix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let pid = Int32(parts[0]), pid > 0, let time = UInt64(parts[1])
        else { return nil }
        return (pid, time)
    }
}
