// SPDX-License-Identifier: Apache-2.0
import CMemtrackGuard
import Foundation
import Testing

@testable import MemtrackRegion

/// What can go wrong with a region that is damaged in an unknown way: any of these, but no trap.
private func useDamaged(_ path: String) -> RegionError? {
    do throws(RegionError) {
        let file = try RegionFile(path: path)
        let snapshot = try file.snapshot()
        _ = try file.identity()
        _ = try file.ownMemory()
        // What a consumer relies on.
        for (id, node) in snapshot.nodes.enumerated() {
            guard let node else { continue }
            #expect(node.parent < id)
            #expect(node.parent == 0 || snapshot.nodes[Int(node.parent)] != nil)
            if let module = node.module { #expect(snapshot.modules[module] != nil) }
        }
        for cell in snapshot.cells {
            #expect(cell.sizeClass < SizeClass.count)
            if cell.kind == .site {
                #expect(snapshot.nodes[Int(cell.stack)] != nil)
            } else {
                #expect(cell.stack == 0)
            }
        }
        return nil
    } catch {
        #expect(error.description.hasPrefix(path + ": "))
        return error
    }
}

private func isCorrupted(_ error: RegionError?) -> Bool {
    if case .corrupted = error { true } else { false }
}

@Suite struct NotARegionTests {
    private let directory = TemporaryDirectory()

    private func error(_ path: String) -> RegionError? {
        #expect(throws: RegionError.self) { try RegionFile(path: path) }
    }

    @Test func missing() {
        let path = directory.file("none")
        #expect(error(path) == .notFound(path))
    }

    @Test func otherFiles() throws {
        let text = directory.file("text")
        try Data(repeating: 0x61, count: 10_000).write(to: URL(filePath: text))
        #expect(error(text) == .notARegion(text, "it does not begin as one"))
        let short = directory.file("short")
        try Data("hello".utf8).write(to: URL(filePath: short))
        #expect(error(short) == .notARegion(short, "it has 5 bytes"))
        #expect(error(directory.path) == .notARegion(directory.path, "it is a directory"))
        #expect(error("/dev/null") == .notARegion("/dev/null", "it is no regular file"))
        let fifo = directory.file("fifo")
        #expect(mkfifo(fifo, 0o600) == 0)
        #expect(error(fifo) == .notARegion(fifo, "it is no regular file"))
        let region = directory.file("region")
        try richBuilder().write(to: region)
        let link = directory.file("link")
        #expect(symlink(region, link) == 0)
        #expect(error(link) == .notARegion(link, "it is a symbolic link"))
    }

    @Test func notReady() throws {
        let empty = directory.file("empty")
        try Data().write(to: URL(filePath: empty))
        #expect(error(empty) == .notReady(empty))
        let zeros = directory.file("zeros")
        try Data(count: 65536).write(to: URL(filePath: zeros))
        #expect(error(zeros) == .notReady(zeros))
    }

    @Test func headerThatCannotBe() throws {
        let path = directory.file("region")
        func error(_ change: (inout RegionBuilder) -> Void) throws -> RegionError? {
            var builder = richBuilder()
            change(&builder)
            try builder.write(to: path)
            return useDamaged(path)
        }
        #expect(try error { $0.put(Header.abiVersion, UInt32(1)) } == .otherABI(path, found: 1, expected: 3))
        #expect(try error { $0.put(Header.magic, UInt8(1)) } == .notARegion(path, "it does not begin as one"))
        #expect(
            try error { $0.put(Header.headerBytes, UInt32(1512)) } == .corrupted(path, "header_bytes is 1512")
        )
        #expect(try error { $0.put(Header.fileBytes, UInt64(0)) } == .corrupted(path, "file_bytes is 0"))
        let huge = UInt64(1) << 63
        #expect(
            try error { $0.put(Header.fileBytes, huge) }
                == .truncated(path, expected: huge, found: 64 * 4096))
        #expect(try error { $0.put(Header.state, UInt32(3)) } == .corrupted(path, "state is 3"))
        #expect(try error { $0.put(Header.origin, UInt32(2)) } == .corrupted(path, "origin is 2"))
        #expect(try error { $0.put(Header.unwinder, UInt32(3)) } == .corrupted(path, "unwinder is 3"))
    }

    /// Opening as another user; needs root to become one.
    @Test(.enabled(if: geteuid() == 0)) func otherUsersFile() async {
        await #expect(processExitsWith: .success) {
            let directory = TemporaryDirectory()
            let path = directory.file("region")
            try richBuilder().write(to: path)
            #expect(chmod(directory.path, 0o755) == 0 && chmod(path, 0o600) == 0)
            #expect(seteuid(65534) == 0)
            #expect(throws: RegionError.system(path, call: "open", errno: EACCES)) {
                try RegionFile(path: path)
            }
            #expect(seteuid(0) == 0 && chmod(path, 0o644) == 0 && seteuid(65534) == 0)
            #expect(throws: RegionError.notOwned(path, owner: 0)) { try RegionFile(path: path) }
            #expect(seteuid(0) == 0)
        }
    }
}

@Suite(.timeLimit(.minutes(5))) struct DamageTests {
    private let directory = TemporaryDirectory()

    @Test func soundRegionIsSound() throws {
        let snapshot = try open(richBuilder(), in: directory).snapshot()
        #expect(snapshot.damagedRecords == 0)
        #expect(snapshot.cells.count == 101)
        #expect(snapshot.totals.allocations == 5051)
    }

    @Test func truncatedAnywhere() throws {
        let bytes = richBuilder().bytes
        let path = directory.file("region")
        var random = SystemRandomNumberGenerator()
        let lengths = Array(stride(from: 0, to: bytes.count, by: 4096))
        for length in lengths + (0..<200).map({ _ in Int.random(in: 0..<bytes.count, using: &random) }) {
            try Data(bytes[..<length]).write(to: URL(filePath: path))
            switch useDamaged(path) {
            case .truncated(_, let expected, let found):
                #expect(expected == UInt64(bytes.count))
                #expect(found == UInt64(length))
            case .notReady: #expect(length == 0)
            case .notARegion: #expect(length < 24)
            case let other: Issue.record("\(length) bytes: \(String(describing: other))")
            }
        }
    }

    @Test func randomBytes() throws {
        let sound = richBuilder().bytes
        let path = directory.file("region")
        try Data(sound).write(to: URL(filePath: path))
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        var random = SystemRandomNumberGenerator()
        var refused = 0
        for _ in 0..<4000 {
            // Most of the damage where it hurts: the header's tables and the directories.
            var places: [Int] = []
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                switch Int.random(in: 0..<4, using: &random) {
                case 0: places.append(Int.random(in: 0..<sound.count, using: &random))
                case 1: places.append(Int.random(in: 16..<1328, using: &random))
                case 2: places.append(Int.random(in: 1200..<1296, using: &random))
                default:
                    places.append(
                        4096 * Int.random(in: 1...40, using: &random) + Int.random(in: 0..<64, using: &random)
                    )
                }
            }
            for place in places {
                var byte = UInt8.random(in: 0...255, using: &random)
                pwrite(descriptor, &byte, 1, off_t(place))
            }
            if useDamaged(path) != nil { refused += 1 }
            for place in places {
                var byte = sound[place]
                pwrite(descriptor, &byte, 1, off_t(place))
            }
        }
        #expect(refused > 0)
        #expect(useDamaged(path) == nil)
    }

    @Test func pagesOfOnes() throws {
        let sound = richBuilder()
        let path = directory.file("region")
        for page in 0..<sound.bytes.count / 4096 {
            var builder = sound
            builder.put(page * 4096, raw: Array(repeating: 0xff, count: 4096))
            try builder.write(to: path)
            _ = useDamaged(path)
        }
        var builder = sound
        builder.put(1200, raw: Array(repeating: 0xff, count: 128))
        try builder.write(to: path)
        #expect(useDamaged(path) != nil)
    }

    @Test func hugeCountsAreClamped() throws {
        var builder = richBuilder()
        for field in [
            Header.nodeNext, Header.cellNext, Header.moduleNext, Header.bankNext, Header.markerNext,
        ] {
            builder.put(field, UInt32.max)
        }
        builder.put(Header.usedPages, UInt64.max)
        let snapshot = try open(builder, in: directory).snapshot()
        #expect(snapshot.cells.count == 101)
        #expect(snapshot.nodes.count <= 2048 * 1024)
        #expect(snapshot.nodes.count { $0 != nil } == 40)
        #expect(snapshot.modules.count == 10)
        #expect(snapshot.regionBytes == 32 * 4096)  // but for the directory, of which page 0 has all
    }

    @Test func parentsThatDoNotLeadToTheRoot() throws {
        var builder = richBuilder()
        builder.put(builder.nodeOffset(5) + 8, UInt32(5))
        builder.put(builder.nodeOffset(6) + 8, UInt32(9))
        builder.put(builder.nodeOffset(7) + 8, UInt32.max)
        let snapshot = try open(builder, in: directory).snapshot()
        for id in 5...7 {
            #expect(snapshot.nodes[id]?.parent == 0)
            #expect(snapshot.nodes[id]?.isIncomplete == true)
        }
        #expect(snapshot.damagedRecords == 3)
    }

    @Test func recordsThatNameNothing() throws {
        var builder = richBuilder()
        builder.put(builder.nodeOffset(4) + 12, UInt16(11))
        builder.put(builder.nodeOffset(5) + 12, UInt16(0xfffe))
        let cells = Int(builder.get(RegionBuilder.cellDirectory)) * 4096
        builder.put(cells, UInt32(41))  // stack of the first cell
        builder.put(cells + 8 + 4, UInt32(192))  // class of the second
        let snapshot = try open(builder, in: directory).snapshot()
        #expect(snapshot.nodes[4]?.module == nil)
        #expect(snapshot.nodes[5]?.module == nil)
        #expect(snapshot.cells[0].kind == .noStack)
        #expect(snapshot.cells[0].counters.allocations == 1)
        #expect(snapshot.cells.count == 100)
        #expect(snapshot.damagedRecords == 4)
    }

    /// 1,024 banks that all name one directory, whose entries all name one page, would mean half a billion
    /// counters.
    @Test func pagesWithTwoUses() throws {
        var builder = richBuilder()
        let bank = builder.get(RegionBuilder.bankDirectory + 16)
        for index in 0..<1024 { builder.put(RegionBuilder.bankDirectory + index * 16, bank) }
        builder.put(Header.directoryPages, UInt32.max)
        builder.put(Header.bankNext, UInt32(1024))
        let path = directory.file("region")
        try builder.write(to: path)
        #expect(isCorrupted(useDamaged(path)))

        builder = richBuilder()
        builder.put(Header.markerPage, builder.get(Header.gaugePage))
        try builder.write(to: path)
        #expect(isCorrupted(useDamaged(path)))
    }

    @Test func pagesOutsideTheFile() throws {
        let path = directory.file("region")
        for page in [1, 4, 62, 64, UInt32.max - 1, UInt32.max] {
            var builder = richBuilder()
            builder.put(Header.usedPages, UInt64(62))
            builder.put(RegionBuilder.nodeDirectory, page)
            try builder.write(to: path)
            #expect(isCorrupted(useDamaged(path)), "page \(page)")
        }
    }

    /// Reading a hole on tmpfs allocates memory: a small file that claims to be large must not make us do it.
    @Test(.enabled(if: access("/dev/shm", W_OK) == 0)) func holesAreNotRead() throws {
        var builder = RegionBuilder(pages: 256)
        builder.put(Header.cellNext, UInt32(1024 + 500_000))
        for bank in 0..<16 { builder.addBank(bank) }
        let first = builder.takePages(128)
        let spare = 1 << 20  // pages
        builder.put(Header.fileBytes, UInt64(spare) * 2 * 4096)
        builder.put(Header.usedPages, UInt64(spare) * 2)
        for bank in 0..<16 {
            let record = Int(builder.get(RegionBuilder.bankDirectory + bank * 16)) * 4096
            for directory in 0..<8 {
                let page = first + bank * 8 + directory
                builder.put(record + 40 + directory * 4, UInt32(page))
                for entry in 0..<1024 {
                    let hole = spare + (bank * 8 + directory) * 1024 + entry
                    builder.put(page * 4096 + entry * 4, UInt32(hole))
                }
            }
        }
        let path = directory.file("region")
        try builder.write(to: path)
        #expect(truncate(path, off_t(spare) * 2 * 4096) == 0)
        let file = try RegionFile(path: path)
        #expect(
            throws: RegionError.corrupted(path, "its directories name more pages than the file has")
        ) { try file.snapshot() }
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_blocks * 512 < 80 << 20)
    }
}

@Suite(.timeLimit(.minutes(2))) struct TruncationTests {
    private let directory = TemporaryDirectory()

    @Test func guardPutsZerosInPlaceOfLostPages() throws {
        let path = directory.file("file")
        try Data(repeating: 7, count: 8 * 4096).write(to: URL(filePath: path))
        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        let base = try #require(mmap(nil, 8 * 4096, PROT_READ, MAP_SHARED, descriptor, 0))
        defer { munmap(base, 8 * 4096) }
        #expect(memtrack_guard_begin(base, 8 * 4096) == 0)
        #expect(ftruncate(descriptor, 2 * 4096) == 0)
        #expect(base.load(fromByteOffset: 5 * 4096, as: UInt8.self) == 0)
        #expect(base.load(fromByteOffset: 2 * 4096, as: UInt8.self) == 0)
        #expect(base.load(fromByteOffset: 4096, as: UInt8.self) == 7)
        #expect(memtrack_guard_end() == 2)
        #expect(memtrack_guard_begin(base, 8 * 4096) == 0)
        #expect(memtrack_guard_end() == 0)
    }

    /// A fault that is none of ours ends the process as it would have without us.
    @Test func otherFaultsAreNotSwallowed() async {
        await #expect(processExitsWith: .signal(SIGBUS)) {
            signal(SIGBUS, SIG_DFL)
            setrlimit(__rlimit_resource_t(4), [rlimit(rlim_cur: 0, rlim_max: 0)])  // no core file
            let directory = TemporaryDirectory()
            let path = directory.file("file")
            try Data(count: 2 * 4096).write(to: URL(filePath: path))
            let descriptor = open(path, O_RDWR)
            let base = try #require(mmap(nil, 2 * 4096, PROT_READ, MAP_SHARED, descriptor, 0))
            #expect(memtrack_guard_begin(base, 4096) == 0)
            ftruncate(descriptor, 4096)
            unlink(path)
            rmdir(directory.path)
            #expect(base.load(fromByteOffset: 4096, as: UInt8.self) == 0)
        }
    }

    @Test func fileThatShrinksAndGrowsUnderneath() throws {
        let bytes = richBuilder().bytes
        let path = directory.file("region")
        try Data(bytes).write(to: URL(filePath: path))
        let file = try RegionFile(path: path)
        let whole = try file.snapshot()

        let descriptor = open(path, O_RDWR)
        defer { close(descriptor) }
        let stop = Flag()
        let shrinker = Thread {
            while !stop.isSet {
                ftruncate(descriptor, off_t(Int.random(in: 0..<64)) * 4096)
                bytes.withUnsafeBytes { _ = pwrite(descriptor, $0.baseAddress, $0.count, 0) }
            }
            stop.ended.signal()
        }
        shrinker.start()
        var shortened = 0
        for _ in 0..<3000 {
            do throws(RegionError) {
                _ = try file.snapshot()
            } catch {
                if case .truncated = error { shortened += 1 }
            }
        }
        stop.set()
        stop.ended.wait()
        #expect(shortened > 0)
        #expect(try file.snapshot().cells == whole.cells)
    }
}

/// Tells threads to end, and waits for it.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false
    let ended = DispatchSemaphore(value: 0)

    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}
