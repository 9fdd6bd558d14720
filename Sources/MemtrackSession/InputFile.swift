// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Reads whole files of text that other programs wrote.
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
}
