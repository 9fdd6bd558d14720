// SPDX-License-Identifier: Apache-2.0

import CMemtrackSpawn
import Glibc

/// An open file and what the file system says of it. Closed with the object.
final class InspectedFile {
    let path: RawString
    let source: ByteSource
    let mode: UInt32
    let ownerID: UInt32
    let groupID: UInt32
    /// capabilities(7), "File capabilities": the extended attribute security.capability.
    let hasCapabilities: Bool
    let isOnNosuidMount: Bool
    private let descriptor: Int32

    /// nil where it cannot be opened for reading.
    init?(_ path: RawString) {
        // Not blocking: whatever the path names by now, opening it must not wait.
        let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        self.path = path
        self.descriptor = descriptor
        source = ByteSource(descriptor: descriptor, size: UInt64(clamping: status.st_size))
        mode = status.st_mode
        ownerID = status.st_uid
        groupID = status.st_gid
        hasCapabilities = memtrack_spawn_has_capabilities(descriptor)
        var mount = statvfs()
        isOnNosuidMount = fstatvfs(descriptor, &mount) == 0 && mount.f_flag & 2 != 0  // ST_NOSUID
    }

    deinit { close(descriptor) }
}
