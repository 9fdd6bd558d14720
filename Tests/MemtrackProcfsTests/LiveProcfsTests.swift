// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackProcfs

/// The real /proc, with this test process and children of it as subjects.
@Suite struct LiveProcfsTests {
    private let procfs = Procfs()
    private let me = getpid()

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
        #expect(procfs.isAlive(pid: me, startTicks: identity.startTicks))
        #expect(!procfs.isAlive(pid: me, startTicks: identity.startTicks + 1))
        #expect(try procfs.commandLine(of: me) == CommandLine.arguments)
        #expect(try procfs.bootID().count == 36)
        var status = stat()
        #expect(stat("/proc/self/ns/pid", &status) == 0)
        #expect(try procfs.pidNamespace(of: me) == UInt64(status.st_ino))
        let executable = try procfs.executable(of: me)
        #expect(try procfs.maps(of: me).contains { $0.filePath == executable })
    }

    @Test func residentBytesOfAMappedFile() throws {
        let path = NSTemporaryDirectory() + "memtrack maps (deleted) \(me)"
        let file = open(path, O_RDWR | O_CREAT | O_EXCL, 0o600)
        try #require(file >= 0)
        defer { unlink(path) }
        let bytes = 5 << 12
        #expect(ftruncate(file, off_t(bytes)) == 0)
        let memory = try #require(mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0))
        close(file)
        defer { munmap(memory, bytes) }
        #expect(try procfs.regionMapping(of: me, path: path) == 0)
        memset(memory, 1, 3 << 12)
        #expect(try procfs.regionMapping(of: me, path: path) == 3 << 12)
        unlink(path)
        let entry = try #require(try procfs.maps(of: me).first { $0.path.hasPrefix(path) })
        #expect(entry.isDeleted && entry.filePath == path)
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
        #expect(procfs.isAlive(pid: sleeper, startTicks: found[child].startTicks))
        kill(sleeper, SIGKILL)
        input.fileHandleForWriting.closeFile()
        shell.waitUntilExit()
        #expect(!procfs.isAlive(pid: sleeper, startTicks: found[child].startTicks))
        #expect(throws: ProcfsError.noSuchProcess(pid: pid)) { try procfs.memory(of: pid) }
    }

    @Test func otherRoots() {
        #expect(throws: ProcfsError.notMounted(root: "/nonexistent")) {
            try Procfs(root: "/nonexistent").memory(of: 1)
        }
        #expect(throws: ProcfsError.noSuchProcess(pid: .max)) { try procfs.memory(of: .max) }
    }
}
