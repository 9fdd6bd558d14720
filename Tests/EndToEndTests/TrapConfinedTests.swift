// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Programs that lock themselves in, or their memory down. The fixtures are confined.c, filters.c and locked.c.
@Suite struct TrapConfinedTests {
    /// Guards the look at each filter before it is in place: a call that it kills for is not made any more.
    @Test(arguments: [
        ["prctl", "madvise", "gettid", "tgkill", "rt_sigprocmask"],
        ["syscall", "madvise", "getpid", "gettid", "sigaltstack", "rt_sigprocmask"], ["strict"],
        ["prctl", "process_vm_readv", "fallocate"],
    ])
    func seccompKills(_ arguments: [String]) throws {
        let program = try Compiled.fixture("confined.c", ["-O1"])
        let bare = try Command.run([program] + arguments)
        if bare.end == .exited(77) { return }  // no seccomp in this kernel
        try #require(bare.isSuccess)
        let session = try Session()
        let finished = try session.run([program] + arguments)
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        #expect(region.health.confined == 1)
        // 102 before, 20,000 after; none is lost without a word.
        #expect(region.totals.allocations + region.health.uncountedAllocations == 20_102)
        #expect(region.totals.liveBlocks == 1)
        #expect(region.damagedRecords == 0)
    }

    /// A filter that refuses and does not kill: what the kernel answers is no answer to "is this memory readable".
    @Test func seccompRefuses() throws {
        let program = try Compiled.fixture("confined.c", ["-O1"])
        let session = try Session()
        let finished = try session.run([program, "errno", "madvise", "gettid", "rt_sigprocmask"])
        if finished.end == .exited(77) { return }
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        #expect(region.totals.allocations + region.health.uncountedAllocations == 20_102)
        #expect(region.damagedRecords == 0)
    }

    /// Guards that the list of what is looked at has all system calls of the shim. `fstatfs` was missing, and a forked child of
    /// a program that kills for it died at its first allocation.
    @Test func everyCallIsLookedAt() throws {
        let sources = Build.root + "/CShim/src/"
        func calls(_ text: some StringProtocol) -> Set<String> {
            Set(String(text).matches(of: /SYS_[a-z0-9_]+/).map { String($0.output) })
        }
        let study = try String(contentsOfFile: sources + "seccomp.c", encoding: .utf8)
        let start = try #require(study.range(of: "} calls[] = {"))
        let list = study[start.upperBound...].prefix { $0 != ";" }
        var made: Set<String> = []
        for name in try FileManager.default.contentsOfDirectory(atPath: sources) where name != "seccomp.c" {
            made.formUnion(calls(try String(contentsOfFile: sources + name, encoding: .utf8)))
        }
        let ofTheProgram: Set = ["SYS_clone", "SYS_fork"]
        #expect(made.count > 30)
        #expect(made.subtracting(ofTheProgram).subtracting(calls(list)).sorted() == [])
    }

    /// Guards what the wait for the last census calls: a program that kills for `open` or `nanosleep` died of its own end.
    /// The numbers are those of open and nanosleep.
    @Test(.enabled(if: Allowed.filtering, "no seccomp in this kernel"), arguments: [2, 35])
    func lastCensusOfTheConfined(_ number: Int) throws {
        let script = """
            import ctypes, struct
            code = [(0x20, 0, 0, 0), (0x15, 0, 1, \(number)), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7fff0000)]
            text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
            class Filter(ctypes.Structure):
                _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
            libc = ctypes.CDLL(None)
            libc.prctl(38, 1, 0, 0, 0)
            print(libc.prctl(22, 2, ctypes.byref(Filter(len(code), ctypes.addressof(text)))))
            """
        let program = ["/usr/bin/python3", "-I", "-c", script]
        let bare = try Command.run(program)
        #expect(bare.isSuccess && bare.outputText == "0\n", "\(bare.end): \(bare.outputText)")
        let finished = try Command.run([try Build.launcher(), "--no-history", "-q", "-o", "--"] + program)
        #expect(finished.end == bare.end, "\(finished.errorText)")
    }

    /// Guards that no lock is held while a filter is studied (a child forked meanwhile would wait for ever), that what
    /// a filter forbids is forgotten where the kernel has refused it, or a thread stood in its way, and that one which goes
    /// round in circles is not followed.
    @Test(arguments: ["fork", "together", "back"])
    func filtersThatComeToNothing(_ how: String) throws {
        let program = try Compiled.fixture("filters.c", ["-O1", "-pthread"])
        let bare = try Command.run([program, how])
        if bare.end == .exited(77) { return }
        try #require(bare.isSuccess)
        let session = try Session()
        let finished = try session.run([program, how])
        #expect(finished.isSuccess, "\(finished.end)")
        let parent = try #require(try session.regions().first { $0.identity.origin == .exec })
        #expect(parent.health.confined == 0)
    }

    /// Guards the mlockall of the shim's own: the kernel's would fault in the whole region, 256 MB of somebody's
    /// /dev/shm, and count our address space against the program's limit. And, with threads, that what the shim maps after
    /// MCL_FUTURE is not faulted in: 8 MB of the live map for each arena.
    @Test(arguments: [["both"], ["current"], ["threads"], ["future"], ["both", "6000", "65534"]])
    func lockedMemory(_ arguments: [String]) throws {
        if arguments.count > 1 && geteuid() != 0 { return }
        let program = try Compiled.fixture("locked.c", ["-O1", "-pthread"])
        chmod(program, 0o755)
        let bare = try Command.run([program] + arguments)
        if bare.end == .exited(77) || bare.end == .exited(1) { return }  // not allowed here
        let session = try Session()
        let finished = try session.run([program] + arguments)
        #expect(finished.isSuccess, "\(finished.end)")
        func figures(_ run: Finished) -> [Int] {
            run.outputText.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        }
        let (without, with) = (figures(bare), figures(finished))
        try #require(without.count == 2 && with.count == 2)
        #expect(with[0] < without[0] + 4096, "resident, KB: \(without) \(with)")
        #expect(with[1] < without[1] + 4096, "locked, KB: \(without) \(with)")
        #expect(try session.region().totals.allocations >= 1002)
    }

    /// Guards that nothing is counted beside a sanitizer, and that it starts at all: the run-time library of
    /// AddressSanitizer refuses to come second.
    @Test(arguments: ["address", "thread", "leak", "undefined"])
    func sanitizers(_ name: String) throws {
        let program: String
        do {
            program = try Compiled.fixture("threads.c", ["-O1", "-fsanitize=" + name])
        } catch {
            return  // not every compiler has all
        }
        let bare = try Command.run([program, "short", "16"])
        guard bare.isSuccess else { return }  // ThreadSanitizer does not get along with every kernel
        let session = try Session()
        let finished = try session.run([program, "short", "16"])
        #expect(finished.end == bare.end, "\(finished.errorText)")
        #expect(finished.errorText == bare.errorText)
        if name == "undefined" {
            #expect(try session.region().totals.allocations > 160)
        } else {
            #expect(session.directory.entries().isEmpty)
        }
    }
}

/// Allocators of the program's own. The fixtures are local_new.cpp, some_new.cpp and extended.c.
@Suite struct TrapAllocatorTests {
    /// Guards the operators that a library brings for itself where there are none in the program: it gets its own, as it
    /// would without us.
    @Test func libraryWithItsOwnOperatorNew() throws {
        let host = try Compiled.fixture("local_new.cpp", as: "host", ["-O1", "-DHOST", "-fno-exceptions"])
        let library = try Compiled.fixture("local_new.cpp", as: "local", ["-O1", "-shared", "-fPIC"])
        let bare = try Command.run([host, library])
        #expect(bare.outputText == "100050\n")
        let session = try Session()
        let finished = try session.run([host, library])
        #expect(finished.end == bare.end)
        #expect(finished.outputText == bare.outputText)
        let region = try session.region()
        let numbers = region.cells.filter { $0.sizeClass == SizeClass.containing(4) }.map(\.counters)
        #expect(numbers.map(\.allocations).reduce(0, +) == 100)
        #expect(numbers.map(\.liveBlocks).reduce(0, +) == 50)
    }

    /// Guards a program that replaces new(size) and delete(block) alone: the others must go on ending in those, or a block of
    /// its pool is handed to free.
    @Test(arguments: ["", "4096"])
    func programThatReplacesSomeOperators(_ sample: String) throws {
        let program = try Compiled.fixture("some_new.cpp", ["-O1", "-std=c++17"])
        let bare = try Command.run([program])
        #expect(bare.outputText == "38 37 0\n")
        let session = try Session()
        let finished = try session.run([program], sample.isEmpty ? [:] : ["MEMTRACK_SAMPLE": sample])
        #expect(finished.end == bare.end)
        #expect(finished.outputText == bare.outputText)
        #expect(try session.region().damagedRecords == 0)
    }

    /// Guards an allocator of the program's own that calls prctl while it starts, under its lock: Chromium hung there.
    @Test func allocatorThatCallsUsWhileItStarts() throws {
        let library = try Compiled.fixture("guarded.c", as: "libguarded", ["-DLIBRARY", "-shared", "-fPIC"])
        let program = try Compiled.fixture("guarded.c", ["-O1", "-fno-builtin", "-rdynamic", library])
        #expect(try Command.run([program]).end == .exited(3))
        let session = try Session()
        let finished = try session.run([program])
        #expect(finished.end == .exited(3))
        #expect(finished.errorText == "")
    }

    /// Guards a heap of the program's own that main lays out: a dlsym of ours that failed wrote its message into it before, and
    /// GNU Common Lisp crashed.
    @Test(arguments: [[:], ["MEMTRACK_OBJECTS": "1"], ["MEMTRACK_SAMPLE": "4096"]])
    func heapThatMainLaysOut(_ settings: [String: String]) throws {
        let program = try Compiled.fixture("own_heap.c", ["-O1", "-fno-builtin", "-rdynamic"])
        #expect(try Command.run([program]).outputText == "00 before main\n")
        let session = try Session()
        let finished = try session.run([program], settings)
        #expect(finished.isSuccess, "\(finished.end)")
        #expect(finished.outputText == "00 before main\n")
        #expect(try session.region().health.foreignMalloc == 1)
    }

    /// Guards what tells whether our malloc is the program's: the address of malloc is in the program's own file where that is
    /// linked at a fixed address. Such a program (Debian's python3) was said to have a malloc of its own.
    @Test(arguments: [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]])
    func programThatHasTheAddressOfMalloc(_ options: [String]) throws {
        let program = try Compiled.fixture("addresses.cpp", ["-O1", "-fno-builtin"] + options)
        let session = try Session()
        #expect(try session.run([program]).isSuccess)
        let region = try session.region()
        #expect(region.health.foreignMalloc == 0)
        for size in [1000, 2000, 3000, 4000] as [UInt64] {
            let cells = region.cells.filter { $0.sizeClass == SizeClass.containing(size) && $0.stack != 0 }
            #expect(cells.map(\.counters.allocations).reduce(0, +) == 10, "\(size)")
            // `new` is ours, as far as memory lasts: no frame of the C++ library.
            for cell in cells {
                let module = region.nodes[Int(cell.stack)]?.module.flatMap { region.modules[$0] }
                #expect(module?.path == program, "\(size)")
            }
        }
    }

    /// Guards `new` with an alignment that is no power of two: the library refuses it, memalign would not.
    @Test(arguments: ["", "4096"])
    func alignmentThatIsNone(_ sample: String) throws {
        let program = try Compiled.fixture("alignment.cpp", ["-O1", "-std=c++17"])
        let bare = try Command.run([program])
        #expect(bare.outputText.contains("48: thrown, null"))
        let session = try Session()
        let finished = try session.run([program], sample.isEmpty ? [:] : ["MEMTRACK_SAMPLE": sample])
        #expect(finished.end == bare.end)
        #expect(finished.outputText == bare.outputText)
        #expect(try session.region().totals.liveBlocks < 8)
    }

    /// Guards jemalloc's own interface: blocks of mallocx are freed by free and those of malloc by dallocx. Without
    /// jemalloc behind us the functions work all the same, for a program that found them.
    @Test(arguments: [true, false])
    func extendedInterface(_ hasJemalloc: Bool) throws {
        let known = try Command.run(["/sbin/ldconfig", "-p"]).outputText
        let line = known.split(separator: "\n").first { $0.contains("libjemalloc.so.2") }
        var flags = ["-O1", "-DBY_NAME"]
        if hasJemalloc {
            guard let path = line?.split(separator: " ").last.map(String.init) else { return }
            flags = ["-O1", path]
        }
        let session = try Session()
        let finished = try session.run([try Compiled.fixture("extended.c", flags)])
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        func cells(_ size: UInt64) -> Counters {
            region.cells.filter { $0.sizeClass == SizeClass.containing(size) }.map(\.counters)
                .reduce(into: Counters()) { sum, cell in
                    sum.allocations += cell.allocations
                    sum.frees += cell.frees
                }
        }
        #expect(cells(72).allocations == 100 && cells(72).frees == 100)
        #expect(cells(90).liveBlocks == 10)
        #expect(cells(33).allocations == 50 && cells(33).liveBlocks == 1)
        #expect(region.health.unknownFrees == 0)
    }
}
