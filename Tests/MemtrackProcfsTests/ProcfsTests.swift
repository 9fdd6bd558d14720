// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import MemtrackProcfs

@Suite struct ErrorTests {
    @Test func vanishedProcess() {
        var fake = FakeFiles()
        #expect(throws: ProcfsError.noSuchProcess(pid: 5)) { try fake.procfs.memory(of: 5) }
        fake.texts["/proc/5"] = []
        fake.failures["/proc/5/status"] = ESRCH
        #expect(throws: ProcfsError.noSuchProcess(pid: 5)) { try fake.procfs.memory(of: 5) }
    }

    @Test func noProcfs() {
        var fake = FakeFiles()
        fake.texts = [:]
        #expect(throws: ProcfsError.notMounted(root: "/proc")) { try fake.procfs.identity(of: 1) }
        #expect(throws: ProcfsError.notMounted(root: "/proc")) { try fake.procfs.systemMemory() }
        #expect(fake.procfs.descendants(of: 1).isEmpty)
        #expect(fake.procfs.cgroupMemory() == nil)
    }

    @Test(arguments: [EACCES, EPERM]) func permissionDenied(code: Int32) {
        var fake = FakeFiles()
        fake.failures["/proc/5/maps"] = code
        #expect(throws: ProcfsError.permissionDenied(path: "/proc/5/maps")) {
            try fake.procfs.maps(of: 5)
        }
    }

    @Test func otherErrnoAndMissingFile() {
        var fake = FakeFiles()
        fake.failures["/proc/5/maps"] = EIO
        #expect(throws: ProcfsError.unreadable(path: "/proc/5/maps", code: EIO)) {
            try fake.procfs.maps(of: 5)
        }
        fake.texts["/proc/5"] = []
        #expect(throws: ProcfsError.unreadable(path: "/proc/5/exe", code: ENOENT)) {
            try fake.procfs.executable(of: 5)
        }
    }

    @Test func textsNameFileCauseAndWayOut() {
        #expect(
            ProcfsError.permissionDenied(path: "/proc/5/smaps").description
                == "/proc/5/smaps: permission denied; run as the owner of the process or as root")
        #expect(ProcfsError.unreadable(path: "/f", code: EIO).description.hasSuffix("Input/output error"))
        for error in [ProcfsError.notMounted(root: "/proc"), .noSuchProcess(pid: 5)] {
            #expect(!error.description.contains("\n"))
        }
    }
}

@Suite struct ProcessTests {
    @Test func pssIsLeftOutWhereNotReadable() throws {
        var fake = FakeFiles()
        fake["/proc/5/status"] = "VmRSS:\t8 kB\nThreads:\t1\n"
        fake.failures["/proc/5/smaps_rollup"] = EACCES
        #expect(try fake.procfs.memory(of: 5).pss == nil)
        fake.failures = [:]
        fake["/proc/5/smaps_rollup"] = "0-1 ---p 0 0:0 0 [rollup]\nPss: 3 kB\n"
        #expect(try fake.procfs.memory(of: 5).pss == 3072)
        #expect(try fake.procfs.memory(of: 5, withPSS: false).pss == nil)
    }

    @Test func commandLine() throws {
        var fake = FakeFiles()
        func arguments(_ text: String) throws -> [String] {
            fake["/proc/5/cmdline"] = text
            return try fake.procfs.commandLine(of: 5)
        }
        #expect(try arguments("sh\0-c\0a b\nc\0\0") == ["sh", "-c", "a b\nc", ""])
        #expect(try arguments("nginx: master") == ["nginx: master"])
        #expect(try arguments("\0") == [""])
        #expect(try arguments("") == [])
        fake.texts["/proc/5/cmdline"] = [0x61, 0xff, 0]
        #expect(try fake.procfs.commandLine(of: 5) == ["a\u{fffd}"])
    }

    @Test func namespace() throws {
        var fake = FakeFiles()
        fake.links["/proc/5/ns/pid"] = "pid:[4026531836]"
        #expect(try fake.procfs.pidNamespace(of: 5) == 4_026_531_836)
        for text in ["pid:[]", "pid:[x]", "pid:", "", "pid:[99999999999999999999]"] {
            fake.links["/proc/5/ns/pid"] = text
            #expect(throws: ProcfsError.self) { try fake.procfs.pidNamespace(of: 5) }
        }
    }

    @Test func processesOfOtherNamespaces() {
        var fake = FakeFiles()
        let first: UInt64 = 0xefff_fffc
        func add(_ pid: Int, _ namespace: String?, _ numbers: String) {
            fake.addProcess(pid, parent: 1)
            fake.links["/proc/\(pid)/ns/pid"] = namespace.map { "pid:[\($0)]" }
            fake["/proc/\(pid)/status"] = "Name:\tx\nNSpid:\t\(numbers)\n"
        }
        add(1, "\(first)", "1")
        add(500, "77", "500\t1")
        add(501, "77", "501\t2")
        add(600, "88", "600\t7\t1")
        add(700, nil, "700\t9")
        fake.failures["/proc/700/ns/pid"] = EACCES
        fake.addProcess(800, parent: 1, state: "Z")
        fake.failures["/proc/800/ns/pid"] = EACCES
        fake["/proc/800/status"] = "Name:\tx\nNSpid:\t800\t4\n"
        let here = ForeignProcesses(fake.procfs, own: first)
        #expect(here.place(of: 1, in: 77) == .here(500))
        #expect(here.place(of: 2, in: 77) == .here(501))
        #expect(here.place(of: 1, in: 88) == .here(600))
        #expect(here.place(of: 3, in: 77) == .ended)
        #expect(here.place(of: 1, in: 99) == .ended)
        #expect(here.place(of: 4, in: 99) == .ended)
        #expect(here.place(of: 9, in: 99) == .unknown)  // perhaps the one that cannot be looked at
        let inside = ForeignProcesses(fake.procfs, own: 66)
        #expect(inside.place(of: 3, in: 77) == .ended)  // others of that namespace are seen
        #expect(inside.place(of: 3, in: 99) == .unknown)
    }

    /// A process that started in tick 77 has run since some moment of that tick.
    @Test func aliveMeansNotStartedLater() {
        let tick = 1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK)))
        var fake = FakeFiles()
        fake.addProcess(5, parent: 1, start: 77)
        fake.addProcess(6, parent: 1, start: 77, state: "Z")
        #expect(fake.procfs.isAlive(pid: 5, at: 78 * tick))
        #expect(fake.procfs.isAlive(pid: 5, at: 77 * tick))
        #expect(fake.procfs.isAlive(pid: 5, at: 0))
        #expect(!fake.procfs.isAlive(pid: 5, at: 77 * tick - 1))
        #expect(!fake.procfs.isAlive(pid: 6, at: 78 * tick))
        #expect(!fake.procfs.isAlive(pid: 7, at: 78 * tick))
        #expect(!fake.procfs.isAlive(pid: 0, at: 0))
        #expect(!fake.procfs.isAlive(pid: -1, at: 0))
        fake.signalResult = EPERM
        #expect(fake.procfs.isAlive(pid: 7, at: 78 * tick))
    }
}

/// Processes whose clocks are others than ours.
@Suite struct TimeNamespaceTests {
    private func fake(_ theirs: String, own: String) -> FakeFiles {
        var fake = FakeFiles()
        fake.addProcess(5, parent: 1, start: 100_000)
        fake["/proc/5/timens_offsets"] = theirs
        fake["/proc/self/timens_offsets"] = own
        return fake
    }

    @Test func offsets() {
        let moved = fake(
            "monotonic          1000         5\nboottime          -300  999999999\n",
            own: "monotonic           0         0\nboottime          100         0\n")
        #expect(moved.procfs.clockOffset(of: 5, .monotonic) == 1_000_000_000_005)
        #expect(moved.procfs.clockOffset(of: 5, .boottime) == -399_000_000_001)
        #expect(moved.procfs.clockOffset(of: 6, .boottime) == 0)
    }

    @Test(arguments: ["", "monotonic 1\n", "monotonic x 0\n", "monotonic 99999999999 0\n", "monotonic - -\n"])
    func nonsense(_ text: String) {
        #expect(fake(text, own: "monotonic 0 0\n").procfs.clockOffset(of: 5, .monotonic) == 0)
    }

    /// A process is not taken for a later one because its clock is behind ours.
    @Test func aliveWithAClockBehindOurs() {
        let own = "boottime 0 0\n"
        let now = 1100 * UInt64(1_000_000_000)
        #expect(fake("boottime -1000 0\n", own: own).procfs.isAlive(pid: 5, at: now - 1000 * 1_000_000_000))
        #expect(!fake("boottime -50 0\n", own: own).procfs.isAlive(pid: 5, at: now - 1000 * 1_000_000_000))
        #expect(!fake("boottime 0 0\n", own: own).procfs.isAlive(pid: 5, at: now - 1000 * 1_000_000_000))
    }

    @Test func neverPastEitherEnd() {
        #expect(UInt64(5).ahead(by: -6) == 0)
        #expect(UInt64.max.ahead(by: 1) == .max)
        #expect(UInt64(5).ahead(by: .min) == 0)
        #expect(UInt64(5).ahead(by: 6) == 11)
    }
}

@Suite struct DescendantTests {
    private func family() -> FakeFiles {
        var fake = FakeFiles()
        fake.addProcess(10, parent: 1)
        fake.addProcess(30, parent: 10, start: 200)
        fake.addProcess(20, parent: 10, start: 300, comm: "b) S 1 (")
        fake.addProcess(40, parent: 30, start: 400)
        fake.addProcess(99, parent: 1, start: 150)
        return fake
    }

    @Test func scanFindsParentsBeforeChildrenInOrderOfStart() {
        #expect(family().procfs.descendants(of: 10).map(\.pid) == [30, 40, 20])
        #expect(family().procfs.descendants(of: 20).isEmpty)
        #expect(family().procfs.descendants(of: 12345).isEmpty)
    }

    @Test func childrenFilesOfAllThreads() {
        var fake = family()
        fake["/proc/10/task/10/children"] = "20 "
        fake["/proc/10/task/11/children"] = "30 31 "
        fake["/proc/30/task/30/children"] = "40 nonsense 99999999999 -4 "
        #expect(fake.procfs.descendants(of: 10).map(\.pid) == [30, 40, 20])
    }

    @Test func vanishedAndCircularEntriesAreSurvived() {
        var fake = family()
        fake.addProcess(10, parent: 40)
        fake.failures["/proc/20/stat"] = ESRCH
        #expect(fake.procfs.descendants(of: 10).map(\.pid) == [30, 40])
        fake["/proc/10/task/10/children"] = "10 30 "
        fake["/proc/30/task/30/children"] = "30 10 40 "
        #expect(fake.procfs.descendants(of: 10).map(\.pid) == [30, 40])
    }

    @Test func deepAndWideTreesAreBounded() {
        var fake = FakeFiles()
        for pid in 2...40_000 { fake.addProcess(pid, parent: pid / 2, start: pid) }
        fake.addProcess(1, parent: 0)
        #expect(fake.procfs.descendants(of: 1).count == Procfs.descendantLimit)
    }
}

@Suite struct CgroupTests {
    private let v2Mount = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

    @Test func version2TakesTheLowestLimitOfTheAncestors() {
        var fake = FakeFiles()
        fake["/proc/self/cgroup"] = "0::/user.slice/a:b\n"
        fake["/proc/self/mountinfo"] = v2Mount
        fake["/sys/fs/cgroup/user.slice/a:b/memory.current"] = "5000\n"
        fake["/sys/fs/cgroup/user.slice/a:b/memory.max"] = "max\n"
        fake["/sys/fs/cgroup/user.slice/memory.max"] = "9000\n"
        #expect(
            fake.procfs.cgroupMemory()
                == CgroupMemory(
                    version: .v2, directory: "/sys/fs/cgroup/user.slice/a:b", current: 5000, limit: 9000))
        fake["/sys/fs/cgroup/user.slice/memory.max"] = "max\n"
        #expect(fake.procfs.cgroupMemory()?.limit == nil)
    }

    @Test func version2RootGroupHasNoFigures() {
        var fake = FakeFiles()
        fake["/proc/self/cgroup"] = "0::/\n"
        fake["/proc/self/mountinfo"] = v2Mount
        #expect(fake.procfs.cgroupMemory() == nil)
    }

    @Test func hybridUsesVersion1AndContainersMountTheirOwnGroup() {
        var fake = FakeFiles()
        fake["/proc/7/cgroup"] = "4:cpu,memory:/docker/abc\n1:name=systemd:/\n0::/\n"
        fake["/proc/self/mountinfo"] =
            v2Mount + "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
            + #"33 31 0:30 /docker/abc /sys/fs/c\040g/memory rw - cgroup cgroup rw,memory"# + "\n"
        fake["/sys/fs/c g/memory/memory.usage_in_bytes"] = "123\n"
        fake["/sys/fs/c g/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
        #expect(
            fake.procfs.cgroupMemory(of: 7)
                == CgroupMemory(version: .v1, directory: "/sys/fs/c g/memory", current: 123, limit: nil))
        fake["/sys/fs/c g/memory/memory.limit_in_bytes"] = "4096\n"
        #expect(fake.procfs.cgroupMemory(of: 7)?.limit == 4096)
    }

    @Test(arguments: ["", ":::\n", "x\n", "0::/a\n"]) func nothingThere(cgroup: String) {
        var fake = FakeFiles()
        fake["/proc/self/cgroup"] = cgroup
        fake["/proc/self/mountinfo"] = "31 23 0:28 / - - - - - - -\nshort - line\n"
        #expect(fake.procfs.cgroupMemory() == nil)
    }
}
