// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What the surroundings of these tests allow: a container may refuse it even to root. Tests that need it say so in
/// `.enabled(if:)`, so that one that did not run is seen as such.
enum Allowed {
    static let mounting =
        geteuid() == 0 && Command.has("unshare")
        && succeeds(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=4k none /tmp"])

    static let pidNamespaces =
        geteuid() == 0 && Command.has("unshare") && succeeds(["unshare", "-p", "--fork", "true"])

    static let timeNamespaces =
        geteuid() == 0 && Command.has("unshare") && succeeds(["unshare", "-T", "--boottime", "-5", "true"])

    static let tracing = Command.has("strace") && succeeds(["strace", "-qq", "-o", "/dev/null", "true"])

    static let filtering = succeeds(["grep", "-q", "^Seccomp_filters:", "/proc/self/status"])

    static let memoryCgroups: Bool = {
        let group = "/sys/fs/cgroup/memory/memtrack-probe-\(getpid())"
        guard geteuid() == 0, mkdir(group, 0o755) == 0 else { return false }
        defer { rmdir(group) }
        return
            (try? "33554432".write(
                toFile: group + "/memory.limit_in_bytes", atomically: false, encoding: .utf8)) != nil
    }()

    private static func succeeds(_ command: [String]) -> Bool {
        (try? Command.run(command, timeout: 20))?.isSuccess == true
    }
}
