// SPDX-License-Identifier: Apache-2.0

import Glibc

/// An errno from one of the calls below.
struct FileFailure: Error, Hashable {
    var code: Int32
}

/// The one seam between this module and the system: a test replaces it to feed any text or any errno.
struct FileAccess: Sendable {
    /// The whole file. procfs files have no size, so it is read to the end.
    var read: @Sendable (_ path: String) throws(FileFailure) -> [UInt8]
    /// Names in a directory, without `.` and `..`, in no particular order.
    var list: @Sendable (_ path: String) throws(FileFailure) -> [String]
    /// Text of a symbolic link, which need not lead anywhere.
    var readLink: @Sendable (_ path: String) throws(FileFailure) -> String
    /// Whether the path names something; a symbolic link is not followed.
    var exists: @Sendable (_ path: String) -> Bool
    /// `kill(pid, 0)`: 0, or the errno.
    var probe: @Sendable (_ pid: Int32) -> Int32

    static let system = FileAccess(
        read: readFile, list: listDirectory, readLink: readSymbolicLink,
        exists: { path in
            var status = stat()
            return lstat(path, &status) == 0
        },
        probe: { pid in kill(pid, 0) == 0 ? 0 : errno })

    /// smaps of a program with 65,530 mappings (the default limit) has about 50 MB.
    private static let limit = 256 << 20

    @Sendable private static func readFile(_ path: String) throws(FileFailure) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw FileFailure(code: errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure(code: errno)
            }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= limit else { throw FileFailure(code: EFBIG) }
        }
    }

    @Sendable private static func listDirectory(_ path: String) throws(FileFailure) -> [String] {
        guard let directory = opendir(path) else { throw FileFailure(code: errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else {
                guard errno == 0 else { throw FileFailure(code: errno) }
                return names
            }
            // d_name is an array of fixed size that ends at its NUL.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    @Sendable private static func readSymbolicLink(_ path: String) throws(FileFailure) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw FileFailure(code: errno) }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
