// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Foundation
import MemtrackRegion

/// Where the products of `make build` and the sources of the fixtures are.
enum Build {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path

    static func library() throws -> String { try product("lib/memtrack/libmemtrack_preload.so") }
    static func launcher() throws -> String { try product("bin/memtrack-preload") }
    static func reader() throws -> String { try product("bin/memtrack") }

    private static func product(_ name: String) throws -> String {
        let path = root + "/build/" + name
        guard FileManager.default.fileExists(atPath: path) else {
            throw HarnessError("\(path) does not exist: run make build")
        }
        return path
    }
}

struct HarnessError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// How a program ended, and all that it printed.
struct Finished {
    enum End: Equatable {
        case exited(Int32)
        case killed(Int32)
    }
    var end: End
    var output: Data
    var errors: Data

    var isSuccess: Bool { end == .exited(0) }
    var outputText: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: errors, as: UTF8.self) }
}

/// A program that runs. Its output goes to files, so that neither it nor a daemon it leaves behind can block us.
final class Running: @unchecked Sendable {
    let pid: pid_t
    private let directory: TemporaryDirectory
    private let name: String
    private var finished: Finished?

    /// Starts `command[0]`, which is looked up in PATH, with `environment` on top of `Command.environment`,
    /// where an empty value removes the variable.
    init(
        _ command: [String], environment: [String: String] = [:], input: Data = Data(),
        directory workingDirectory: String? = nil
    ) throws {
        name = command.joined(separator: " ")
        directory = try TemporaryDirectory()
        try input.write(to: URL(fileURLWithPath: directory.file("in")))

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let create = O_WRONLY | O_CREAT | O_TRUNC
        posix_spawn_file_actions_addopen(&actions, 0, directory.file("in"), O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, directory.file("out"), create, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, directory.file("err"), create, 0o600)
        SpawnExtensions.closeFrom(&actions, 3)
        if let workingDirectory, !SpawnExtensions.changeDirectory(&actions, workingDirectory) {
            throw HarnessError("this libc cannot start a program in another directory")
        }

        // The runner of the tests blocks and ignores signals; the program starts with none of that.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        var merged = Command.environment
        for (key, value) in environment { merged[key] = value.isEmpty ? nil : value }
        var arguments = command.map { strdup($0) } + [nil]
        var variables = merged.map { strdup($0.key + "=" + $0.value) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let error = posix_spawnp(&child, command[0], &actions, &attributes, &arguments, &variables)
        guard error == 0 else {
            throw HarnessError("\(command[0]): \(String(cString: strerror(error)))")
        }
        pid = child
    }

    /// Waits for the end; a program that takes longer than `timeout` seconds is killed, and that is an error.
    func wait(timeout: Double = 120) throws -> Finished {
        if let finished { return finished }
        let deadline = Date(timeIntervalSinceNow: timeout)
        var status: Int32 = 0
        while true {
            let result = waitpid(pid, &status, WNOHANG)
            if result == pid { break }
            if result < 0 && errno != EINTR { throw HarnessError("\(name): waitpid failed, errno \(errno)") }
            if Date() > deadline {
                kill(pid, SIGKILL)
                waitpid(pid, &status, 0)
                throw HarnessError("\(name): still running after \(timeout) s; \(errors())")
            }
            usleep(2000)
        }
        let signal = status & 0x7f
        let result = Finished(
            end: signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal),
            output: read("out"), errors: read("err"))
        finished = result
        return result
    }

    /// What it has printed so far.
    func output() -> String { String(decoding: read("out"), as: UTF8.self) }
    func errors() -> String { String(decoding: read("err"), as: UTF8.self) }

    private func read(_ name: String) -> Data {
        (try? Data(contentsOf: URL(fileURLWithPath: directory.file(name)))) ?? Data()
    }
}

/// glibc declares these behind _GNU_SOURCE, where Swift does not see them.
private enum SpawnExtensions {
    private typealias CloseFrom =
        @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
    private typealias ChangeDirectory =
        @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, UnsafePointer<CChar>) -> Int32

    static func closeFrom(_ actions: inout posix_spawn_file_actions_t, _ first: Int32) {
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np") else { return }
        _ = unsafeBitCast(symbol, to: CloseFrom.self)(&actions, first)
    }

    static func changeDirectory(_ actions: inout posix_spawn_file_actions_t, _ path: String) -> Bool {
        guard let symbol = dlsym(nil, "posix_spawn_file_actions_addchdir_np") else { return false }
        return unsafeBitCast(symbol, to: ChangeDirectory.self)(&actions, path) == 0
    }
}

enum Command {
    /// Ours, without what would change the programs under test.
    static let environment: [String: String] = {
        let foreign = ["LD_", "MEMTRACK_", "COUNTER_", "DEBUGINFOD_", "XCTEST", "SWIFT_", "MALLOC_"]
        var result = ProcessInfo.processInfo.environment.filter { entry in
            !foreign.contains { entry.key.hasPrefix($0) }
        }
        result["LC_ALL"] = "C"
        return result
    }()

    /// Runs a program to its end.
    static func run(
        _ command: [String], environment: [String: String] = [:], input: Data = Data(),
        directory: String? = nil, timeout: Double = 120
    ) throws -> Finished {
        try Running(command, environment: environment, input: input, directory: directory).wait(
            timeout: timeout)
    }

    /// The file that PATH names; nil where there is none.
    static func find(_ name: String) -> String? {
        (environment["PATH"] ?? "").split(separator: ":").map { $0 + "/" + name }
            .first { access($0, X_OK) == 0 }
    }

    static func has(_ name: String) -> Bool { find(name) != nil }

    /// The interpreter itself: `python3` may be a script that chooses one.
    static let python: String? = {
        let asked = try? run(["python3", "-c", "import os, sys; print(os.path.realpath(sys.executable))"])
        guard let asked, asked.isSuccess else { return nil }
        return asked.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
    }()
}

/// A directory of mode 0700, on tmpfs where there is one, removed with the object.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        let root = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp"
        var template = Array("\(root)/memtrack-e2e-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw HarnessError("\(root): mkdtemp failed, errno \(errno)")
        }
        path = String(cString: made)
    }

    /// A directory that is there already, to be removed all the same.
    init(taking path: String) { self.path = path }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
    func entries() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
}

/// One run under the library: a session directory of its own, and what the regions in it say.
final class Session: Sendable {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A session where `memtrack` looks for them by PID.
    init(listedFor pid: Int32) throws {
        let now = DispatchTime.now().uptimeNanoseconds
        let made = try SessionDirectory.create(launcherPID: pid, monotonicNanoseconds: now)
        directory = TemporaryDirectory(taking: made.path)
    }

    /// The variables that preload the library, `others` behind it.
    func environment(preload others: [String] = [], _ more: [String: String] = [:]) throws -> [String: String]
    {
        var result = [
            "LD_PRELOAD": ([try Build.library()] + others).joined(separator: ":"),
            "MEMTRACK_SESSION": directory.path,
        ]
        for (key, value) in more { result[key] = value }
        return result
    }

    /// Preloads and runs a program to its end.
    func run(
        _ command: [String], _ more: [String: String] = [:], input: Data = Data(),
        directory: String? = nil, timeout: Double = 120
    ) throws -> Finished {
        try Command.run(
            command, environment: environment(more), input: input, directory: directory, timeout: timeout)
    }

    func environment(_ more: [String: String]) throws -> [String: String] {
        try environment(preload: [], more)
    }

    /// The region files, oldest first.
    func files() -> [RegionFileName] { SessionDirectory(path: directory.path).regionFiles() }

    /// What is in them, oldest first.
    func regions() throws -> [RegionSnapshot] {
        try files().map { try RegionFile(path: $0.path).snapshot() }
    }

    /// The only region; an error if there are more, or none.
    func region() throws -> RegionSnapshot {
        let all = try regions()
        guard all.count == 1, let only = all.first else {
            throw HarnessError("expected one region, found \(all.map(\.identity.arguments))")
        }
        return only
    }

    /// The region of one process image; the newest, where a PID has several.
    func region(pid: Int32) throws -> RegionSnapshot {
        guard let found = try regions().last(where: { $0.identity.pid == pid }) else {
            throw HarnessError("no region of process \(pid) among \(files().map(\.path))")
        }
        return found
    }
}

/// Programs and libraries of Tests/Fixtures, compiled once a test run.
enum Compiled {
    /// Compiles one source of Tests/Fixtures (or, with a slash in front, of `Tests`) and returns the path of the
    /// program, or of the library if `flags` holds -shared.
    static func fixture(
        _ source: String, as name: String? = nil, _ flags: [String] = [], compiler: String? = nil
    ) throws -> String {
        let tests = Build.root + "/Tests/"
        let file = source.hasPrefix("/") ? tests + source.dropFirst() : tests + "Fixtures/" + source
        let key = ([compiler ?? "", file] + flags).joined(separator: " ")
        lock.lock()
        defer { lock.unlock() }
        if let known = products[key] { return known }
        let directory = try self.directory.get()
        let stem = name ?? URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
        let product = directory.file("\(stem)-\(products.count)" + (flags.contains("-shared") ? ".so" : ""))
        let isC = file.hasSuffix(".c")
        let standard = [compiler ?? (isC ? "cc" : "c++"), isC ? "-std=gnu11" : "-std=c++17"]
        let command =
            standard + ["-g", "-Wall", "-Wextra", "-o", product, file] + flags + [
                "-ldl", "-lpthread", "-lrt",
            ]
        let compiled = try Command.run(command)
        guard compiled.isSuccess else {
            throw HarnessError("\(command.joined(separator: " "))\n\(compiled.errorText)")
        }
        products[key] = product
        return product
    }

    /// The independent counter, Tests/Shim/counter.c.
    static func counter() throws -> String {
        try fixture("/Shim/counter.c", ["-O2", "-shared", "-fPIC", "-fno-builtin"])
    }

    private static let lock = NSLock()
    nonisolated(unsafe) private static var products: [String: String] = [:]
    /// A static is never released: what it holds is removed when the tests exit.
    private static let directory: Result<TemporaryDirectory, any Error> = Result {
        let directory = try TemporaryDirectory()
        atexit {
            if let made = try? Compiled.directory.get() {
                try? FileManager.default.removeItem(atPath: made.path)
            }
        }
        return directory
    }
}
