// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A file or an inherited descriptor that text is written to, whole or with an error.
public final class OutputFile {
    private let descriptor: Int32
    private let path: String
    private let closes: Bool

    /// Makes or replaces a file.
    public init(path: String) throws(SessionError) {
        self.path = path
        closes = true
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        if descriptor < 0 { throw .cannotWrite(path: path, errno: errno) }
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
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
            }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw .cannotWrite(path: path, errno: errno)
            }
            done += count
        }
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

    /// A line for the user, on standard error; if that is closed, for nobody.
    public static func complain(_ line: String) {
        try? OutputFile(descriptor: 2, name: "standard error").write(line)
    }
}
