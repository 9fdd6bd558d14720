// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A program on a terminal of its own: leader of a session, with a pseudo-terminal that controls it.
final class Terminal {
    let pid: pid_t
    private let master: Int32
    /// Everything it has shown so far.
    var screen: String { String(decoding: shown, as: UTF8.self) }
    /// Bytes, because a read may end in the middle of a character.
    private var shown: [UInt8] = []
    private var isOver = false
    /// Where the next `expect` begins to look.
    private var position = 0

    init(
        _ command: [String], columns: UInt16 = 100, environment: [String: String] = [:],
        directory: String? = nil
    ) throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // unlockpt(3) and ptsname(3), which Swift does not import: TIOCSPTLCK and TIOCGPTN of <asm/ioctls.h>.
        var unlocked: Int32 = 0
        var number: UInt32 = 0
        guard master >= 0, ioctl(master, 0x4004_5431, &unlocked) == 0,
            ioctl(master, 0x8004_5430, &number) == 0
        else { throw HarnessError("no pseudo-terminal: errno \(errno)") }
        let name = "/dev/pts/\(number)"
        var size = winsize(ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that a session leader opens becomes the one that controls it.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        let newSession: Int32 = 0x80  // POSIX_SPAWN_SETSID of <spawn.h>, behind _GNU_SOURCE
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | newSession))

        var merged = Command.environment
        merged["TERM"] = "xterm"
        for name in ["COLUMNS", "NO_COLOR"] { merged[name] = nil }
        for (key, value) in environment { merged[key] = value }
        let line = directory.map { ["sh", "-c", "cd \"$0\" && exec \"$@\"", $0] + command } ?? command
        var arguments = line.map { strdup($0) } + [nil]
        var variables = merged.map { strdup($0.key + "=" + $0.value) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, line[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw HarnessError("\(command[0]): \(String(cString: strerror(code)))") }
        pid = child
    }

    deinit { close(master) }

    /// Types.
    func send(_ text: String) {
        var bytes = Array(text.utf8)
        _ = write(master, &bytes, bytes.count)
    }

    /// Waits until the text shows up behind what was expected before.
    func expect(_ text: String, timeout: Double = 30) throws {
        let deadline = Date(timeIntervalSinceNow: timeout)
        while true {
            let rest = Array(shown.dropFirst(position))
            if let end = Self.end(of: Array(text.utf8), in: rest) {
                position += end
                return
            }
            guard !isOver, Date() < deadline else {
                throw HarnessError("'\(text)' did not appear on the terminal, which shows:\n\(screen)")
            }
            read(100)
        }
    }

    /// Waits for the end of the program; all that it has shown is in `screen` then.
    func wait(timeout: Double = 30) throws -> Finished.End {
        let deadline = Date(timeIntervalSinceNow: timeout)
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            guard Date() < deadline else {
                kill(-pid, SIGKILL)
                kill(pid, SIGKILL)
                waitpid(pid, &status, 0)
                throw HarnessError("still running after \(timeout) s; the terminal shows:\n\(screen)")
            }
            read(20)
        }
        while read(50) {}
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal)
    }

    @discardableResult
    private func read(_ milliseconds: Int32) -> Bool {
        var poller = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        guard poll(&poller, 1, milliseconds) > 0 else { return false }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(master, &bytes, bytes.count)
        // EIO: nobody has the other side open any more.
        guard count > 0 else {
            isOver = true
            return false
        }
        shown += bytes.prefix(count)
        return true
    }

    private static func end(of needle: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= needle.count else { return nil }
        return (0...(bytes.count - needle.count)).first {
            bytes[$0..<($0 + needle.count)].elementsEqual(needle)
        }
        .map { $0 + needle.count }
    }
}
