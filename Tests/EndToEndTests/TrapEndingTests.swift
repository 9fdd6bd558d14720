// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// However a program ends and whatever it does to itself, the region is complete and the program as without us. The
/// fixture, endings.c, makes 2,000 blocks of 50 bytes and frees 400.
@Suite struct TrapEndingTests {
    private func expectWhole(_ region: RegionSnapshot, _ what: String) {
        #expect(region.totals.allocations == 2000, "\(what)")
        #expect(region.totals.allocatedBytes == 100_000, "\(what)")
        #expect(region.totals.frees == 400, "\(what)")
        #expect(region.totals.liveBytes == 80_000, "\(what)")
        #expect(region.health.uncountedAllocations == 0, "\(what)")
    }

    /// Guards that the counts are in the file at any moment: no hook of ours runs at an end like these.
    @Test(arguments: [
        ("return", Finished.End.exited(0)), ("_exit", .exited(3)), ("quick_exit", .exited(4)),
        ("exit", .exited(5)), ("abort", .killed(SIGABRT)), ("kill", .killed(SIGKILL)),
        ("segv", .killed(SIGSEGV)),
    ])
    func everyEnd(_ ending: String, _ expected: Finished.End) throws {
        let session = try Session()
        let finished = try session.run([Compiled.fixture("endings.c", ["-O1"]), ending])
        #expect(finished.end == expected)
        expectWhole(try session.region(), ending)
    }

    /// Guards that no descriptor is kept and no path needed once the region is mapped.
    @Test(arguments: ["closefrom", "chdir", "nofile", "environment", "fsize", "chroot", "setuid"])
    func drasticDeeds(_ deed: String) throws {
        let session = try Session()
        let empty = try TemporaryDirectory()
        let program = try Compiled.fixture("endings.c", ["-O1"])
        let finished = try session.run([program, "return", deed, empty.path])
        if finished.end == .exited(77) {  // chroot and setuid are not for everybody
            #expect(["chroot", "setuid"].contains(deed) && geteuid() != 0)
            return
        }
        #expect(finished.isSuccess, "\(finished.end)")
        expectWhole(try session.region(), deed)
    }

    /// A child that cannot reach the session directory any more: it runs on, its parent's region says that it is lost.
    @Test(.enabled(if: geteuid() == 0, "chroot needs root"))
    func childWithoutARegion() throws {
        let session = try Session()
        let empty = try TemporaryDirectory()
        let finished = try session.run(
            [Compiled.fixture("endings.c", ["-O1"]), "fork", "chroot", empty.path])
        #expect(finished.isSuccess)
        // The parent does not wait; its child is soon done.
        for _ in 0..<200 where try session.region().health.childrenLost == 0 { usleep(10_000) }
        let region = try session.region()
        #expect(region.health.childrenLost == 1)
        #expect(region.totals.allocations == 2100)
    }

    /// No directory, one that is a file, one that others may enter: nothing is counted, nothing is said, all works.
    @Test(arguments: ["/nonexistent/session", "/dev/null", "open", "link"])
    func noSessionDirectory(_ kind: String) throws {
        let place = try TemporaryDirectory()
        var path = kind
        if kind == "open" {
            path = place.file("open")
            mkdir(path, 0o755)
        } else if kind == "link" {
            mkdir(place.file("target"), 0o700)
            path = place.file("link")
            symlink(place.file("target"), path)
        }
        let environment = ["LD_PRELOAD": try Build.library(), "MEMTRACK_SESSION": path]
        let program = try Compiled.fixture("endings.c", ["-O1"])
        let finished = try Command.run([program, "exit"], environment: environment)
        #expect(finished.end == .exited(5))
        #expect(finished.output.isEmpty)
        #expect(finished.errors.isEmpty)
        #expect(SessionDirectory(path: place.file("target")).regionFiles().isEmpty)
        #expect(SessionDirectory(path: place.file("open")).regionFiles().isEmpty)
    }
}

/// Where memory is short. The fixture is limits.c.
@Suite struct TrapLimitTests {
    /// Guards the share of a limited address space, or of private memory (`ulimit -d`), that the shim leaves to the program.
    @Test(arguments: ["-v", "-d"], [(200, 80), (1000, 700)])
    func limitedAddressSpace(_ option: String, _ sizes: (limit: Int, heap: Int)) throws {
        let (limit, heap) = sizes
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let command = ["sh", "-c", "ulimit \(option) \(limit * 1024) && exec \"$0\" heap \(heap)", program]
        #expect(try Command.run(command).isSuccess)
        let session = try Session()
        let finished = try session.run(command)
        #expect(finished.isSuccess, "\(finished.end) \(finished.errorText)")
        let region = try #require(try session.regions().last)
        let blocks = UInt64((heap + 1) / 2 + heap / 2 * 1024 + 1)
        #expect(region.totals.allocations == blocks)
        #expect(region.totals.frees == blocks)
        #expect(region.totals.liveBytes == 0)
    }

    /// Guards that the shim stands back where its tables would take what the program needs.
    @Test(arguments: ["-v", "-d"]) func hardlyAnyAddressSpace(_ option: String) throws {
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let session = try Session()
        let finished = try session.run(
            ["bash", "-c", "ulimit \(option) 40000 && exec \"$0\" heap 20", program])
        #expect(finished.isSuccess, "\(finished.end) \(finished.errorText)")
        #expect(try !session.regions().contains { $0.identity.executable == program })
        #expect(session.directory.entries().contains { $0.hasPrefix("lost-") })
    }

    /// Guards limits that a program sets on itself: what we have reserved was over them at once, and bash, python and vsftpd
    /// ran out of memory. The program is told what it has set, and so is the next one after an exec.
    @Test(arguments: [
        [
            "bash", "-c",
            "ulimit -v 300000; x=$(seq 100000); echo ${#x}; ulimit -v; ulimit -Hv; bash -c 'ulimit -v'",
        ],
        [
            "bash", "-c",
            "ulimit -d 20000; x=$(seq 100000); echo ${#x}; (ulimit -Sd 10000; ulimit -d); ulimit -d",
        ],
        [
            "/usr/bin/python3", "-c",
            """
            import resource as r, os
            r.setrlimit(r.RLIMIT_AS, (200 << 20, 200 << 20))
            print(len(bytes(50 << 20)), r.getrlimit(r.RLIMIT_AS))
            try: print(len(bytes(400 << 20)))
            except MemoryError: print("MemoryError")
            try: r.setrlimit(r.RLIMIT_AS, (300 << 20, 100 << 20))
            except ValueError as error: print(error)
            try: os.execv("/nonexistent", ["x"])
            except FileNotFoundError: print(len(bytes(50 << 20)), r.prlimit(os.getpid(), r.RLIMIT_AS))
            """,
        ],
    ])
    func limitsThatTheProgramSets(_ command: [String]) throws {
        let bare = try Command.run(command)
        try #require(bare.isSuccess, "\(bare.errorText)")
        let session = try Session()
        let finished = try session.run(command)
        #expect(finished.end == bare.end && finished.errorText == bare.errorText)
        #expect(finished.outputText == bare.outputText)
        #expect(try session.regions().contains { $0.totals.allocations > 100 })
    }

    /// Guards that the file never grows past the limit: SIGXFSZ would kill the program.
    @Test(arguments: [64, 100, 400])
    func limitedFileSize(_ kilobytes: Int) throws {
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let session = try Session()
        let finished = try session.run(
            ["bash", "-c", "ulimit -f \(kilobytes) && exec \"$0\" many 5000", program])
        #expect(finished.isSuccess, "\(finished.end)")
        try expectAllAccounted(session.regions().filter { $0.identity.executable == program }, 5000)
    }

    /// Guards the overflow cells: a region that is full goes on counting by size class; what it cannot count, it says.
    /// The counters for that are made while there is room: not one allocation is lost, whatever there was room for.
    @Test(arguments: Array(stride(from: 160, through: 360, by: 4)) + [512, 1024])
    func tinyRegion(_ kilobytes: Int) throws {
        let session = try Session()
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let finished = try session.run(
            [program, "many", "20000"], ["MEMTRACK_REGION_BYTES": String(kilobytes * 1024)])
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        #expect(region.health.uncountedAllocations == 0)
        #expect(region.allocations(.overflow) > 0)
        expectAllAccounted([region], 20_000)
    }

    /// Guards that pages are reserved many at a time: one system call a page was 4,443 in a compiler, and a tenth of its time.
    @Test(.enabled(if: Allowed.tracing, "strace may not trace here"))
    func growsInFewCalls() throws {
        let session = try Session()
        let place = try TemporaryDirectory()
        let variables = try session.environment([:]).flatMap { ["-E", "\($0.key)=\($0.value)"] }
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let traced = try Command.run(
            ["strace", "-qq", "-e", "trace=madvise", "-o", place.file("calls")] + variables
                + [program, "many", "20000"])
        #expect(traced.isSuccess, "\(traced.errorText)")
        let calls = try String(contentsOfFile: place.file("calls"), encoding: .utf8).split(separator: "\n")
            .count
        let pages = Int(try session.region().regionBytes) / 4096
        #expect(pages > 400)
        #expect(calls > 1 && calls < pages / 4, "\(calls) calls for \(pages) pages")
    }

    /// Less than a region needs: nothing is counted, and an empty file says so.
    @Test func noRoomForARegion() throws {
        let session = try Session()
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let finished = try session.run([program, "many", "1000"], ["MEMTRACK_REGION_BYTES": "32768"])
        #expect(finished.isSuccess, "\(finished.end)")
        let left = session.directory.entries()
        #expect(left.count == 1 && left.allSatisfy { $0.hasPrefix("lost-") }, "\(left)")
    }

    private func expectAllAccounted(_ regions: [RegionSnapshot], _ count: UInt64) {
        // The mapping may have been refused: then there is no region, and the program has run all the same.
        for region in regions {
            #expect(region.totals.allocations + region.health.uncountedAllocations == count)
            #expect(region.totals.frees + region.health.unknownFrees == count / 2)
            #expect(region.damagedRecords == 0)
            // i % 12 chooses the size: every class has a twelfth, and no block is in another's.
            for power in 0..<12 where region.health.uncountedAllocations == 0 {
                let size = SizeClass.containing(1 << UInt64(power))
                let counted = region.cells.filter { $0.sizeClass == size }.map(\.counters.allocations).reduce(
                    0, +)
                let expected = (count + 11 - UInt64(power)) / 12
                #expect(counted == expected, "size \(1 << power)")
            }
        }
    }

    /// Guards that each page is reserved before it is touched: on a full file system a store raises SIGBUS. The file system
    /// ends at each page in turn; whichever step of the growth that is, every allocation is counted or said to be lost.
    @Test(.enabled(if: Allowed.mounting, "no mounting here"))
    func fullFileSystem() throws {
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let place = try TemporaryDirectory()
        let script = """
            bare=$("$2" many 20000)
            test -n "$bare" || exit 76
            mount -t tmpfs -o size=4k,mode=700 none "$1" || exit 77
            for size in $(seq 4 4 420); do
                mount -o remount,size=${size}k "$1" || exit 77
                printed=$(LD_PRELOAD="$3" MEMTRACK_SESSION="$1" "$2" many 20000 2>&1) || exit $?
                test "$printed" = "$bare" || { echo "$printed" >&2; exit 78; }
                for region in "$1"/region-*; do
                    test -s "$region" || continue
                    "$4" report --json --region "$region" | tr -d '\\n' || exit $?
                    echo
                done
                rm -f "$1"/*
            done
            """
        let finished = try Command.run([
            "unshare", "-m", "sh", "-c", script, "sh", place.path, program, Build.library(), Build.reader(),
        ])
        #expect(finished.isSuccess, "\(finished.end) \(finished.errorText)")
        struct Health: Decodable { var regionRefusals: Int, overflowCells: Int, uncountedAllocations: Int }
        struct Whole: Decodable {
            var totals: FixtureReport.Counters
            var health: Health
        }
        let reports = try finished.outputText.split(separator: "\n").map {
            try JSONDecoder().decode(Whole.self, from: Data($0.utf8))
        }
        #expect(reports.count > 60)
        for report in reports {
            #expect(report.health.regionRefusals > 0)
            #expect(report.totals.allocations + report.health.uncountedAllocations == 20_000)
            #expect(report.totals.frees <= 10_000)
        }
    }
}

/// Blocks that are not what they are taken for. The fixture is strangers.c.
@Suite struct TrapLiveMapTests {
    /// Guards the slot of another block: an address that is none of ours is looked up in it, and must not clear it.
    @Test func freesOfUnknownBlocks() throws {
        let session = try Session()
        let environment = try session.environment(preload: [Compiled.interruptible()])
        let finished = try Command.run(
            [Compiled.fixture("strangers.c", ["-O1"])], environment: environment)
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        for size in [40, 640] as [UInt64] {
            let cells = region.cells.filter { $0.sizeClass == SizeClass.containing(size) }.map(\.counters)
            #expect(cells.map(\.allocations).reduce(0, +) == 1000)
            #expect(cells.map(\.frees).reduce(0, +) == 500)
            #expect(cells.map(\.liveBytes).reduce(0, +) == Int64(500 * size))
        }
        #expect(region.health.unknownFrees >= 3000)
    }
}
