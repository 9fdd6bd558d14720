// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackProcfs

/// The real /proc, with this test process and children of it as subjects.
@Suite struct LiveProcfsTests {
    private let procfs = Procfs()
    private let me = getpid()
    /// Nanoseconds.
    private let tick = 1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK)))

    @Test func ownFigures() throws {
        let memory = try procfs.memory(of: me)
        #expect(memory.rss > 1 << 20 && memory.rss <= memory.vms && memory.threads >= 1)
        #expect(memory.peakRSS >= memory.rssAnon)
        #expect(try #require(memory.pss) > 0)
        let system = try procfs.systemMemory()
        #expect(system.total == UInt64(sysconf(Int32(_SC_PHYS_PAGES))) * UInt64(sysconf(Int32(_SC_PAGESIZE))))
        #expect(system.available < system.total)
    }

    @Test func ownIdentity() throws {
        let identity = try procfs.identity(of: me)
        #expect(identity.pid == me && identity.parentPID == getppid())
        #expect(procfs.isAlive(pid: me, at: (identity.startTicks + 1) * tick))
        #expect(!procfs.isAlive(pid: me, at: (identity.startTicks - 1) * tick))
        #expect(try procfs.commandLine(of: me) == CommandLine.arguments)
        #expect(try procfs.bootID().count == 36)
        var status = stat()
        #expect(stat("/proc/self/ns/pid", &status) == 0)
        #expect(try procfs.pidNamespace(of: me) == UInt64(status.st_ino))
        let executable = try procfs.executable(of: me)
        #expect(try procfs.maps(of: me).contains { $0.filePath == executable })
    }

    @Test func processesByTheirEnvironment() throws {
        let entry = "MEMTRACK_TEST_\(me)=a b=c"
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["60"]
        child.environment = [String(entry.prefix { $0 != "=" }): "a b=c"]
        try child.run()
        defer {
            kill(child.processIdentifier, SIGKILL)  // the runner's signal mask is the child's, too
            child.waitUntilExit()
        }
        let pid = child.processIdentifier
        let deadline = Date(timeIntervalSinceNow: 20)
        var found: [Int32] = []
        while found.isEmpty, Date() < deadline {  // until its exec
            found = procfs.processes(above: pid - 1, startedWith: entry)
        }
        #expect(found == [pid])
        #expect(procfs.processes(above: pid, startedWith: entry) == [])
        #expect(procfs.processes(above: pid - 1, startedWith: String(entry.dropLast())) == [])
    }

    @Test func mapsOfADeletedFile() throws {
        let path = NSTemporaryDirectory() + "memtrack maps (deleted) \(me)"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
        try #require(file >= 0)
        defer { unlink(path) }
        #expect(ftruncate(file, 4096) == 0)
        let memory = try #require(mmap(nil, 4096, PROT_READ, MAP_SHARED, file, 0))
        close(file)
        defer { munmap(memory, 4096) }
        unlink(path)
        let entry = try #require(try procfs.maps(of: me).first { $0.path.hasPrefix(path) })
        #expect(entry.isDeleted && entry.filePath == path)
    }

    /// What a checkpoint takes off a process's figures is measured in this way.
    @Test func residentPagesOfRanges() throws {
        let page = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        let pages = 20_000  // more than one read of the file
        let bytes = pages * Int(page)
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        let memory = try #require(mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0))
        try #require(memory != MAP_FAILED)
        defer { munmap(memory, bytes) }
        #expect(madvise(memory, bytes, MADV_NOHUGEPAGE) == 0)
        let start = UInt64(UInt(bitPattern: memory))
        let all = start..<start + UInt64(bytes)
        #expect(procfs.residentBytes(of: me, ranges: [all]) == 0)
        for touched in [0, 1, 9_000, pages - 1] {
            memory.storeBytes(of: 1, toByteOffset: touched * Int(page), as: UInt8.self)
        }
        #expect(procfs.residentBytes(of: me, ranges: [all]) == 4 * page)
        let ends = [start..<start + page, all.upperBound - page..<all.upperBound]
        #expect(procfs.residentBytes(of: me, ranges: ends) == 2 * page)
        #expect(procfs.residentBytes(of: Int32.max, ranges: [all]) == nil)
    }

    @Test func childrenAndTheirEnd() throws {
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        // Not `wait`: threads of the test runner, and so their children, have SIGCHLD blocked.
        shell.arguments = ["-c", "sleep 60 & echo $!; read line"]
        let (input, output) = (Pipe(), Pipe())
        shell.standardInput = input
        shell.standardOutput = output
        try shell.run()
        let pid = shell.processIdentifier
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let sleeper = try #require(Int32(line.trimmingCharacters(in: .whitespacesAndNewlines)))
        defer {
            kill(sleeper, SIGKILL)
            kill(pid, SIGKILL)
        }
        let found = procfs.descendants(of: me)
        let place = try #require(found.firstIndex { $0.pid == pid })
        let child = try #require(found.firstIndex { $0.pid == sleeper })
        #expect(place < child && found[child].parentPID == pid)
        #expect(procfs.isAlive(pid: sleeper, at: (found[child].startTicks + 1) * tick))
        kill(sleeper, SIGKILL)
        input.fileHandleForWriting.closeFile()
        shell.waitUntilExit()
        // A process that was killed ends when it next gets to run.
        for _ in 0..<1_000 where procfs.isAlive(pid: sleeper, at: (found[child].startTicks + 1) * tick) {
            usleep(10_000)
        }
        #expect(!procfs.isAlive(pid: sleeper, at: (found[child].startTicks + 1) * tick))
        #expect(throws: ProcfsError.noSuchProcess(pid: pid)) { try procfs.memory(of: pid) }
    }

    @Test func otherRoots() {
        #expect(throws: ProcfsError.notMounted(root: "/nonexistent")) {
            try Procfs(root: "/nonexistent").memory(of: 1)
        }
        #expect(throws: ProcfsError.noSuchProcess(pid: .max)) { try procfs.memory(of: .max) }
    }
}
