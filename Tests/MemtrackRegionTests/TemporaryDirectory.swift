// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A directory on tmpfs where there is one, removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        let root = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/memtrack-test-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? root
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func file(_ name: String) -> String { path + "/" + name }
}
