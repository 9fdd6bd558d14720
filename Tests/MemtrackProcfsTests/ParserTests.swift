// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import MemtrackProcfs

private let status = """
    Name:\tweird\\nVmRSS: 1 kB
    State:\tS (sleeping)
    VmPeak:\t  999999 kB
    VmSize:\t   20000 kB
    VmHWM:\t    3000 kB
    VmRSS:\t    2000 kB
    RssAnon:\t    1200 kB
    RssFile:\t     700 kB
    RssShmem:\t     100 kB
    VmSwap:\t      16 kB
    Threads:\t7
    SigQ:\t0/1

    """

@Suite struct StatusTests {
    @Test func readsEachFigureInBytes() throws {
        let memory = try ProcessMemory(status: Array(status.utf8), path: "status")
        #expect(memory.rss == 2000 * 1024)
        #expect(memory.vms == 20000 * 1024)
        #expect(memory.peakRSS == 3000 * 1024)
        #expect(memory.swap == 16 * 1024)
        #expect(memory.threads == 7)
        #expect(memory.rssAnon == 1200 * 1024)
        #expect(memory.rssFile == 700 * 1024)
        #expect(memory.rssShmem == 100 * 1024)
        #expect(memory.pss == nil)
    }

    @Test func zombieHasNoMemory() throws {
        let text = "Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n"
        let memory = try ProcessMemory(status: Array(text.utf8), path: "s")
        #expect(memory.rss == 0 && memory.vms == 0 && memory.threads == 1)
    }

    @Test(arguments: [
        "VmRSS:\t 12 MB", "VmRSS:\t kB", "VmRSS:\t-1 kB", "VmRSS:\t18446744073709551615 kB",
        "VmRSS:\t99999999999999999999999 kB", "Threads:\tmany", "VmRSS:",
    ])
    func refusesOtherForms(line: String) {
        #expect(throws: ProcfsError.malformed(path: "p", reason: "unexpected line '\(line)'")) {
            try ProcessMemory(status: Array("\(line)\nThreads:\t1\n".utf8), path: "p")
        }
    }

    @Test func everyTruncationIsAnErrorOrTheWholeTruth() throws {
        let bytes = Array(status.utf8)
        let whole = try ProcessMemory(status: bytes, path: "p")
        for length in 0..<bytes.count {
            guard let cut = try? ProcessMemory(status: Array(bytes[..<length]), path: "p") else { continue }
            #expect(cut == whole)
        }
        #expect(throws: ProcfsError.self) { try ProcessMemory(status: [], path: "p") }
    }

    @Test func largestFigureThatFits() throws {
        let memory = try ProcessMemory(
            status: Array("VmRSS:\t18014398509481983 kB\nThreads:\t1\n".utf8), path: "p")
        #expect(memory.rss == UInt64(18_014_398_509_481_983) << 10)
    }

    @Test func pssIsNotPssDirty() {
        let rollup =
            "1000-2000 ---p 0 0:0 0 [rollup]\nRss: 9 kB\nPss_Dirty: 5 kB\nPss:  400 kB\nPss_Anon: 1 kB\n"
        #expect(ProcessMemory.pss(rollup: Array(rollup.utf8)) == 400 * 1024)
        #expect(ProcessMemory.pss(rollup: []) == nil)
        #expect(ProcessMemory.pss(rollup: Array("Pss: lots\n".utf8)) == nil)
    }
}

@Suite struct StatTests {
    private func parse(_ text: String) throws -> ProcessIdentity {
        try ProcessIdentity(stat: Array(text.utf8), path: "stat")
    }
    private let tail = "S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654321 100 200\n"

    @Test(arguments: ["bash", "a b", "a) S 9 (b", ")", "((", "", "new\nline", "tail) Z 0"])
    func nameMayHoldAnything(comm: String) throws {
        let identity = try parse("42 (\(comm)) \(tail)")
        #expect(
            identity
                == ProcessIdentity(pid: 42, parentPID: 17, startTicks: 987_654_321, comm: comm, state: "S"))
    }

    @Test func everyTruncationIsAnErrorOrTheWholeTruth() throws {
        let text = Array("42 (a b) \(tail)".utf8)
        let whole = try ProcessIdentity(stat: text, path: "stat")
        for length in 0..<text.count {
            guard let cut = try? ProcessIdentity(stat: Array(text[..<length]), path: "stat") else { continue }
            // A number may have lost digits at the very end of what was read, nothing else may differ.
            #expect(cut.pid == whole.pid && cut.comm == whole.comm && cut.parentPID == whole.parentPID)
            #expect(String(whole.startTicks).hasPrefix(String(cut.startTicks)))
        }
    }

    @Test(arguments: [
        "", "42 bash S", "42 )bash( S 1", "x (a) S 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5 0",
        "99999999999 (a) S 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5 0",
        "42 (a) S 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 99999999999999999999999 0",
        "42 (a) SS 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 5 0",
    ])
    func refusesOtherForms(text: String) {
        #expect(throws: ProcfsError.self) { try parse(text) }
    }
}

@Suite struct MapsTests {
    private func parse(_ line: String) -> MapEntry? { MapEntry(line: Array(line.utf8)[...]) }

    @Test func keepsPathsWithBlanksAndDeletedMark() throws {
        let entry = try #require(
            parse("7f00-7fff r-xp 0000a000 fd:01 123456                     /tmp/a  b /c d (deleted)"))
        #expect(entry.start == 0x7f00 && entry.end == 0x7fff && entry.offset == 0xa000)
        #expect(entry.deviceMajor == 0xfd && entry.deviceMinor == 1 && entry.inode == 123456)
        #expect(entry.permissions == "r-xp")
        #expect(entry.path == "/tmp/a  b /c d (deleted)")
        #expect(entry.isDeleted)
        #expect(entry.filePath == "/tmp/a  b /c d")
    }

    @Test func anonymousAndNamedMemoryHasNoFile() throws {
        let anonymous = try #require(parse("1000-2000 rw-p 00000000 00:00 0 "))
        #expect(anonymous.path == "" && anonymous.filePath == nil && !anonymous.isDeleted)
        let heap = try #require(parse("1000-2000 rw-p 00000000 00:00 0    [heap]"))
        #expect(heap.path == "[heap]" && heap.filePath == nil)
        let vsyscall = try #require(
            parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]"))
        #expect(vsyscall.end == 0xffff_ffff_ff60_1000)
    }

    @Test func onlyNewlinesAreEscaped() throws {
        let entry = try #require(parse(#"1000-2000 r--p 00000000 00:10 5 /a\012b\040c\d\"#))
        #expect(entry.path == "/a\nb\\040c\\d\\")
    }

    @Test(arguments: [
        "", "1000", "1000-2000",
        "2000-1000 r--p 0 0:0 0 /x", "1000-2000 r--p 0 0:0",
        "1000-2000 r-p 0 0:0 0 /x",
        "1000-2000-3000 r--p 0 0:0 0 /x", "g-h r--p 0 0:0 0 /x", "1000-2000 r--p 0 0 0 /x",
        "10000000000000000-20000000000000000 r--p 0 0:0 0 /x", "1000-2000 r--p 0 0:0 -1 /x",
    ])
    func refusesOtherForms(line: String) {
        #expect(parse(line) == nil)
    }

    @Test func damagedMapsNameTheLine() {
        let text = "1000-2000 r--p 00000000 00:10 5 /a\nnonsense\n"
        #expect(throws: ProcfsError.malformed(path: "m", reason: "unexpected line 'nonsense'")) {
            try MapEntry.parse(maps: Array(text.utf8), path: "m")
        }
    }
}

@Suite struct MeminfoTests {
    @Test func readsTotals() throws {
        let text =
            "MemTotal:       49368168 kB\nMemFree:  1 kB\nMemAvailable:   47000000 kB\nHugePages_Total:  0\n"
        #expect(
            try SystemMemory(meminfo: Array(text.utf8), path: "m")
                == SystemMemory(total: 49_368_168 * 1024, available: 47_000_000 * 1024))
    }

    @Test(arguments: ["", "MemTotal: 5 kB\n", "MemTotal: x kB\nMemAvailable: 4 kB\n", "MemAvailable: 4 kB\n"])
    func refusesOtherForms(text: String) {
        #expect(throws: ProcfsError.self) { try SystemMemory(meminfo: Array(text.utf8), path: "m") }
    }
}
