// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Reads what the kernel says of processes and of the machine. Holds nothing open, caches nothing.
///
/// Formats: proc(5). Names, paths and arguments are untrusted text, repaired where they are not UTF-8.
public struct Procfs: Sendable {
    public let root: String
    let files: FileAccess

    public init(root: String = "/proc") {
        self.init(root: root, files: .system)
    }

    init(root: String, files: FileAccess) {
        self.root = root
        self.files = files
    }

    /// Figures from `status` and, unless told otherwise, PSS from `smaps_rollup`: that one makes the kernel
    /// walk the page tables of the target and needs ptrace rights over it.
    public func memory(of pid: Int32, withPSS: Bool = true) throws(ProcfsError) -> ProcessMemory {
        var memory = try ProcessMemory(status: read(pid, "status"), path: path(pid, "status"))
        if withPSS, let rollup = try? files.read(path(pid, "smaps_rollup")) {
            memory.pss = ProcessMemory.pss(rollup: rollup)
        }
        return memory
    }

    public func identity(of pid: Int32) throws(ProcfsError) -> ProcessIdentity {
        try ProcessIdentity(stat: read(pid, "stat"), path: path(pid, "stat"))
    }

    /// The effective user id, as which it makes its files. Source: `Uid:` in `status`, whose second number it is.
    public func user(of pid: Int32) throws(ProcfsError) -> UInt32 {
        for line in Lines(try read(pid, "status")) {
            guard let (key, value) = line.keyAndValue, key.text == "Uid" else { continue }
            let fields = value.split { $0 == 0x20 || $0 == 0x09 }
            if fields.count > 1, let user = fields[1].decimal.flatMap({ UInt32(exactly: $0) }) { return user }
        }
        throw .malformed(path: path(pid, "status"), reason: "no user id in it")
    }

    /// The process that a thread is one of; of a process's number, that. Source: `Tgid:` in `status`.
    public func process(ofThread thread: Int32) throws(ProcfsError) -> Int32 {
        for line in Lines(try read(thread, "status")) {
            guard let (key, value) = line.keyAndValue, key.text == "Tgid" else { continue }
            if let process = value.decimal.flatMap({ Int32(exactly: $0) }) { return process }
        }
        throw .malformed(path: path(thread, "status"), reason: "no thread group in it")
    }

    /// Arguments as the process has them now (it may have overwritten them); empty for a zombie or a kernel
    /// thread.
    public func commandLine(of pid: Int32) throws(ProcfsError) -> [String] {
        var bytes = try read(pid, "cmdline")
        // Each argument ends with NUL; a process that rewrote its title may have left that out.
        if bytes.last == 0 { bytes.removeLast() } else if bytes.isEmpty { return [] }
        return bytes.split(separator: 0, omittingEmptySubsequences: false).map(\.text)
    }

    /// `NAME=VALUE` each, with NUL after it, as the program was started; nil where that cannot be read.
    public func environmentText(of pid: Int32) -> [UInt8]? { try? read(pid, "environ") }

    /// Path of the program file, with ` (deleted)` after it when that is no longer there.
    public func executable(of pid: Int32) throws(ProcfsError) -> String {
        try link(pid, "exe")
    }

    /// Inode of the PID namespace: two processes see each other under the same numbers when it is equal.
    public func pidNamespace(of pid: Int32) throws(ProcfsError) -> UInt64 {
        let text = Array(try link(pid, "ns/pid").utf8)[...]
        guard text.starts(with: "pid:[".utf8), text.last == UInt8(ascii: "]"),
            let inode = text.dropFirst(5).dropLast().decimal
        else { throw .malformed(path: path(pid, "ns/pid"), reason: "expected 'pid:[number]'") }
        return inode
    }

    public func maps(of pid: Int32) throws(ProcfsError) -> [MapEntry] {
        try MapEntry.parse(maps: read(pid, "maps"), path: path(pid, "maps"))
    }

    public func systemMemory() throws(ProcfsError) -> SystemMemory {
        let path = "\(root)/meminfo"
        return try SystemMemory(meminfo: read(path), path: path)
    }

    /// The control group of a process (of the reader itself by default); nil where it has no memory
    /// controller, or that is not visible here.
    public func cgroupMemory(of pid: Int32? = nil) -> CgroupMemory? {
        let process = pid.map(String.init) ?? "self"
        guard let cgroup = try? files.read("\(root)/\(process)/cgroup"),
            // The reader's own mounts: it is the reader that opens the files.
            let mountinfo = try? files.read("\(root)/self/mountinfo"),
            let place = CgroupPlace(cgroup: cgroup, mountinfo: mountinfo)
        else { return nil }
        return CgroupMemory(place: place, files: files)
    }

    /// A text that is new with each boot. Source: random(4).
    public func bootID() throws(ProcfsError) -> String {
        let path = "\(root)/sys/kernel/random/boot_id"
        guard let line = Lines.first(of: try read(path)), !line.isEmpty else {
            throw .malformed(path: path, reason: "it is empty")
        }
        return line.text
    }

    /// Who may look into the memory of whom, as the security module Yama sees it: 0 for the usual rules; nil where there
    /// is no Yama.
    public var yamaScope: Int? {
        (try? read("\(root)/sys/kernel/yama/ptrace_scope")).flatMap(Lines.first(of:))
            .flatMap { $0.decimal }.map { Int(clamping: $0) }
    }

    /// Whether the process still runs that had this number at a moment, in nanoseconds of
    /// its own `CLOCK_BOOTTIME`: one that started later is another. A zombie does not run. 0 stands for "not
    /// known": any process of that number counts. Where `/proc` does not tell, a process that answers to
    /// signals is taken for alive, so that nobody tidies up behind a living process.
    public func isAlive(pid: Int32, at boottimeNanoseconds: UInt64) -> Bool {
        guard pid > 0 else { return false }
        guard let identity = try? identity(of: pid) else { return files.probe(pid) != ESRCH }
        return !identity.hasEnded
            && (boottimeNanoseconds == 0 || hasStarted(identity, at: boottimeNanoseconds, byClockOf: pid))
    }

    /// Whether a process had started at a moment, in nanoseconds of the `CLOCK_BOOTTIME` of `pid`.
    public func hasStarted(
        _ identity: ProcessIdentity, at boottimeNanoseconds: UInt64, byClockOf pid: Int32
    ) -> Bool {
        // What /proc says is by our own clock.
        identity.startTicks <= boottimeNanoseconds / Self.nanosecondsPerTick
            || identity.startTicks
                <= boottimeNanoseconds.ahead(by: 0 &- clockOffset(of: pid, .boottime))
                / Self.nanosecondsPerTick
    }

    private static let nanosecondsPerTick = 1_000_000_000 / UInt64(max(sysconf(Int32(_SC_CLK_TCK)), 1))
}

extension Procfs {
    func path(_ pid: Int32, _ name: String) -> String { "\(root)/\(pid)/\(name)" }

    func read(_ pid: Int32, _ name: String) throws(ProcfsError) -> [UInt8] {
        let path = path(pid, name)
        do { return try files.read(path) } catch { throw failure(error, path: path, pid: pid) }
    }

    private func read(_ path: String) throws(ProcfsError) -> [UInt8] {
        do { return try files.read(path) } catch { throw failure(error, path: path, pid: nil) }
    }

    private func link(_ pid: Int32, _ name: String) throws(ProcfsError) -> String {
        let path = path(pid, name)
        do { return try files.readLink(path) } catch { throw failure(error, path: path, pid: pid) }
    }

    /// A process that goes away makes open fail with ENOENT and read with ESRCH; so does a file that this
    /// kernel does not have, and everything where /proc is missing.
    private func failure(_ failure: FileFailure, path: String, pid: Int32?) -> ProcfsError {
        switch failure.code {
        case ENOENT, ESRCH, ENOTDIR:
            // The link itself is there even where it leads nowhere (procfs of another PID namespace).
            guard files.exists("\(root)/self") else { return .notMounted(root: root) }
            guard let pid, failure.code == ESRCH || !files.exists("\(root)/\(pid)") else {
                return .unreadable(path: path, code: failure.code)
            }
            return .noSuchProcess(pid: pid)
        case EACCES, EPERM: return .permissionDenied(path: path)
        default: return .unreadable(path: path, code: failure.code)
        }
    }
}
