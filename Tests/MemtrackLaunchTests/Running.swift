// SPDX-License-Identifier: Apache-2.0

import Foundation

/// How a process ended, as wait(2) says.
enum Ending: Hashable {
    case exit(Int32)
    case signal(Int32)

    init(raw: Int32) { self = raw & 0x7f == 0 ? .exit(raw >> 8 & 0xff) : .signal(raw & 0x7f) }
}

/// A directory for one test, removed with the object.
final class Scratch {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "memtrack-launch-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String, _ text: String = "", mode: Int = 0o755) throws -> String {
        let file = path + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }

    func text(_ name: String) -> String {
        let data = try? Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
        return String(decoding: data ?? Data(), as: UTF8.self)
    }

    /// Waits for the text to appear in a file that another process writes.
    func wait(for text: String, in name: String) -> Bool {
        for _ in 0..<1000 {
            if self.text(name).contains(text) { return true }
            usleep(10_000)
        }
        return false
    }
}

/// A process with a clean signal state of its own: threads of the test runner have most signals blocked, and
/// their children would inherit that. Output goes to the files `out` and `err` of the directory.
struct Running {
    let pid: pid_t
    let scratch: Scratch

    /// Path of the launcher under test, built next to the tests.
    static let probe: String = {
        let me = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (me as NSString).deletingLastPathComponent + "/launch-probe"
    }()

    init(
        _ arguments: [String], in scratch: Scratch, environment: [String: String] = [:], blocked: [Int32] = []
    ) throws {
        self.scratch = scratch
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        for (descriptor, name) in [(Int32(1), "out"), (2, "err")] {
            let flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
            posix_spawn_file_actions_addopen(&actions, descriptor, scratch.path + "/" + name, flags, 0o600)
        }
        // What other tests have open at this moment. A descriptor that is not open is no error.
        for descriptor in Int32(3)..<256 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var mask = sigset_t()
        sigemptyset(&mask)
        for signal in blocked { sigaddset(&mask, signal) }
        posix_spawnattr_setsigmask(&attributes, &mask)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let base = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": scratch.path]
        let entries = base.merging(environment) { $1 }.map { "\($0.key)=\($0.value)" }.sorted()
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = entries.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, arguments[0], &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
        self.pid = pid
    }

    /// Next change of state: the raw status of wait(2), with stops and continues where asked for. What takes
    /// more than a minute is killed, so that a test fails instead of hanging.
    func change(_ options: Int32 = 0) -> Int32 {
        var status: Int32 = 0
        for _ in 0..<6000 {
            if waitpid(pid, &status, options | WNOHANG) != 0 { return status }
            usleep(10_000)
        }
        kill(pid, SIGKILL)
        waitpid(pid, &status, 0)
        return status
    }

    func end() -> Ending { Ending(raw: change()) }

    var output: String { scratch.text("out") }
    var errors: String { scratch.text("err") }
}
