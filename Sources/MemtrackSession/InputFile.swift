// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Reads whole files that other programs wrote.
enum InputFile {
    /// The bytes of a regular file of the calling user, at most `limit` of them; nil if there is none.
    static func bytes(of path: String, limit: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid()
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: min(Int(status.st_size), limit))
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                read(descriptor, buffer.baseAddress! + done, buffer.count - done)
            }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            done += count
        }
        bytes.removeSubrange(done...)
        return bytes
    }

    /// All of a file or pipe that the user named; an error where there are more bytes than `limit`.
    static func contents(of path: String, limit: Int) throws(SessionError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .cannotRead(path: path, errno: errno) }
        defer { close(descriptor) }
        var status = stat()
        let isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        if isRegular && status.st_size > limit { throw .tooLarge(path: path, limit: limit) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(isRegular ? Int(status.st_size) + 1 : 0)
        while true {
            var code: Int32 = 0
            let piece = [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, count in
                let got = read(descriptor, buffer.baseAddress, buffer.count)
                code = got < 0 ? errno : 0
                count = max(0, got)
            }
            if code == EINTR { continue }
            if code != 0 { throw .cannotRead(path: path, errno: code) }
            if piece.isEmpty { return bytes }
            bytes += piece
            if bytes.count > limit { throw .tooLarge(path: path, limit: limit) }
        }
    }
}
