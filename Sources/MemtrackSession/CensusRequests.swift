// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackRegion

/// Programs of a session that are about to end, and wait until their objects have been looked at: the FIFO `census` in the
/// session's directory. That it has a reader is how a program knows that somebody will answer.
public final class CensusRequests {
    public static let fileName = "census"

    public let descriptor: Int32

    /// nil where it cannot be made: then nobody waits.
    public init?(in directory: SessionDirectory) {
        let path = directory.path + "/" + Self.fileName
        guard mkfifo(path, 0o600) == 0 else { return nil }
        // For writing too: without a writer it would be at its end all the time.
        descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 {
            unlink(path)
            return nil
        }
    }

    deinit { close(descriptor) }

    /// When the regions of those that wait were created; each once.
    func take() -> [UInt64] {
        var found: [UInt64] = []
        var record: UInt64 = 0
        while read(descriptor, &record, 8) == 8 { found.append(record) }
        return found
    }
}
