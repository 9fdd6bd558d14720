// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A file or an inherited descriptor that text is written to, whole or with an error.
public final class OutputFile {
    private let path: String
    private let closes: Bool
    /// -1 until the first write.
    private var descriptor: Int32

    /// A file that the first write makes or replaces: until then nothing of it is to be seen. An error is
    /// thrown at once where it is plain that it cannot be written.
    public init(path: String) throws(SessionError) {
        self.path = path
        closes = true
        descriptor = -1
        let code = Self.obstacle(toFile: path)
        if code != 0 { throw .cannotWrite(path: path, errno: code) }
    }

    /// Writes to a descriptor that stays the caller's.
    public init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        path = name
        closes = false
    }

    deinit {
        if closes && descriptor >= 0 { close(descriptor) }
    }

    public func write(_ text: String) throws(SessionError) { try write(Array(text.utf8)) }

    public func write(_ bytes: [UInt8]) throws(SessionError) {
        if closes && descriptor < 0 {
            descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            if descriptor < 0 { throw .cannotWrite(path: path, errno: errno) }
        }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
            }
            if count >= 0 {
                done += count
                continue
            }
            let code = errno
            if code == EAGAIN {
                // Another program made the terminal or pipe non-blocking: wait for room without spinning.
                var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&poller, 1, 1_000)
            } else if code != EINTR {
                throw .cannotWrite(path: path, errno: code)
            }
        }
    }

    /// Throws if it is plain already that a file cannot be written; makes nothing.
    static func check(_ path: String) throws(SessionError) {
        let code = obstacle(toFile: path)
        if code != 0 { throw .cannotWrite(path: path, errno: code) }
    }

    /// Writes a file whole or not at all: under a temporary name beside it, renamed once it is on its disk. So the file
    /// that was there stays where this one cannot be written. What cannot be replaced is written to as it is: a pipe,
    /// a descriptor's name, a file in a directory that takes no new one, a mount point.
    public static func replace(_ path: String, with bytes: [UInt8]) throws(SessionError) {
        try check(path)
        var status = stat()
        let exists = stat(path, &status) == 0
        if exists, status.st_mode & S_IFMT != S_IFREG || isDescriptor(path) {
            return try OutputFile(path: path).write(bytes)
        }
        // A link goes on pointing to the file, which is the one to be replaced.
        let target = resolved(path)
        var template = Array((target + ".XXXXXX").utf8CString)
        let descriptor = mkstemp(&template)
        if descriptor < 0 {
            let code = errno
            if exists, code == EACCES || code == EPERM || code == EROFS {
                return try OutputFile(path: path).write(bytes)
            }
            throw .cannotWrite(path: path, errno: code)
        }
        let mask = umask(0)
        umask(mask)
        var isDone = false
        defer {
            close(descriptor)
            if !isDone { unlink(template) }
        }
        try OutputFile(descriptor: descriptor, name: path).write(bytes)
        if exists { _ = fchown(descriptor, status.st_uid, status.st_gid) }  // where we may
        let mode = exists ? status.st_mode & 0o777 : 0o666 & ~mask
        guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0, rename(template, target) == 0 else {
            if errno == EBUSY { return try OutputFile(path: path).write(bytes) }
            throw .cannotWrite(path: path, errno: errno)
        }
        isDone = true
    }

    /// `/dev/stdout`, `/dev/fd/3`: the file behind it is somebody else's, who goes on writing to it.
    private static func isDescriptor(_ path: String) -> Bool {
        ["/dev/std", "/dev/fd/", "/proc/"].contains(where: path.hasPrefix)
    }

    private static func resolved(_ path: String) -> String {
        guard let real = realpath(path, nil) else { return path }
        defer { free(real) }
        return String(cString: real)
    }

    /// Makes a directory and its parents.
    public static func makeDirectory(_ path: String) throws(SessionError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            made += "/" + part
            if mkdir(made, 0o777) != 0 && errno != EEXIST {
                throw .cannotMakeDirectory(path: path, errno: errno)
            }
        }
    }

    /// Why a directory cannot be made, or files made in it, as an errno; 0 if nothing is in the way. Makes
    /// nothing.
    static func obstacle(toDirectory path: String) -> Int32 {
        var path = path.isEmpty ? "." : path
        while true {
            var status = stat()
            if stat(path, &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else { return ENOTDIR }
                return access(path, W_OK | X_OK) == 0 ? 0 : errno
            }
            if errno != ENOENT { return errno }
            path = parent(of: path)
        }
    }

    /// The same for a file.
    private static func obstacle(toFile path: String) -> Int32 {
        if path.isEmpty { return ENOENT }
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { return EISDIR }
            return access(path, W_OK) == 0 ? 0 : errno
        }
        if errno != ENOENT { return errno }
        if path.hasSuffix("/") { return EISDIR }
        let directory = parent(of: path)
        if stat(directory, &status) != 0 { return errno }
        return access(directory, W_OK | X_OK) == 0 ? 0 : errno
    }

    private static func parent(of path: String) -> String {
        var bytes = Substring(path)
        while bytes.hasSuffix("/") && bytes.count > 1 { bytes.removeLast() }
        guard let slash = bytes.lastIndex(of: "/") else { return "." }
        return slash == bytes.startIndex ? "/" : String(bytes[..<slash])
    }

    /// A line for the user, on standard error; if that is closed, for nobody.
    public static func complain(_ line: String) {
        try? OutputFile(descriptor: 2, name: "standard error").write(line)
    }
}
