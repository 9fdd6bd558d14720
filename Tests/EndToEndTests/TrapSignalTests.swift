// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Handlers that allocate while a hook runs, and stacks that are not the thread's. The fixture is signals.c, on
/// interruptible.c: with glibc's allocator such a program may hang without us.
@Suite struct TrapSignalTests {
    private func run(_ mode: String) throws -> (Session, [UInt64], TemporaryDirectory) {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter(), Compiled.interruptible()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("signals.c", ["-O1"]), mode], environment: environment)
        #expect(finished.isSuccess, "\(finished.end)")
        let made = finished.outputText.split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) }
        return (session, made, counts)
    }

    /// Guards the BUSY mark: without it a handler would work on the same counters and the same memo as the hook it
    /// interrupted. On a stack of its own inside the thread's, the handler's frame lies above the hook's.
    @Test(arguments: ["storm", "alternate"])
    func handlersAllocateInsideHooks(_ mode: String) throws {
        let (session, made, counts) = try run(mode)
        let region = try session.region()
        #expect(made.count == 2)
        #expect(region.totals.allocations == made.reduce(0, +))
        #expect(region.totals.liveBlocks == 0)
        #expect(region.totals.liveBytes == 0)
        #expect(region.health.unknownFrees == 0)
        try CounterFile.expectEqual(session, counts)
        // Some did come inside a hook, else this shows nothing; they are counted without a stack.
        #expect(region.health.reentrant > 0)
        #expect(region.allocations(.reentrant) <= region.health.reentrant)
    }

    /// Guards the release of the guard: a hook that a handler left by longjmp must not make all that follows
    /// "re-entrant", wherever the next call comes from.
    @Test func longjmpOutOfAHook() throws {
        let (session, _, _) = try run("jumps")
        let region = try session.region()
        let after = try FixtureReport(session).sites(in: "make_after")
        #expect(after.map(\.counters.allocations).reduce(0, +) == 10_000)
        #expect(after.map(\.counters.liveBlocks).reduce(0, +) == 1000)
        let deep = try FixtureReport(session).sites(in: "make_deep")
        #expect(deep.map(\.counters.allocations).reduce(0, +) == 2000)
        #expect(region.health.reentrant < region.totals.allocations / 20)
        #expect(region.totals.liveBlocks >= 1000)
        #expect(region.damagedRecords == 0)
    }

    /// Guards the limits of a walk: on a coroutine's stack, wherever that lies, it ends with the coroutine.
    @Test func coroutines() throws {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("stacks.cpp", ["-O1"]), "coroutines"], environment: environment)
        #expect(finished.isSuccess)
        try CounterFile.expectEqual(session, counts)
        let touched = try FixtureReport(session).sites(in: "touch")
        #expect(touched.map(\.counters.allocations).reduce(0, +) == 3 * 40)
        for site in touched {
            #expect(site.stack.contains { $0.function.hasPrefix("coroutine") })
            #expect(!site.stack.contains { $0.function == "main" })
        }
    }

    /// The same for those of boost.context, with its own way to switch. The fixture is boost_context.cpp.
    @Test func boostCoroutines() throws {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let program = try Compiled.fixture("boost_context.cpp", ["-O1", "-lboost_context"])
        #expect(try Command.run([program], environment: environment).isSuccess)
        try CounterFile.expectEqual(session, counts)
        let touched = try FixtureReport(session).sites(in: "touch")
        #expect(touched.map(\.counters.allocations).reduce(0, +) == 8 * 50)
        #expect(touched.map(\.counters.frees).reduce(0, +) == 8 * 50)
        #expect(touched.allSatisfy { site in !site.stack.contains { $0.function == "main" } })
    }

    /// Guards the look at how much room a handler's stack has: a walk of 2 KB would end below it. With room, there is a stack.
    /// The fixture is small_stack.c, and takes no more than 400 bytes without us.
    @Test(arguments: [("mapped", 600), ("own", 600), ("mapped", 8000), ("own", 8000)], [false, true])
    func smallAlternateStack(_ stack: (place: String, bytes: Int), disarmed: Bool) throws {
        let (place, bytes) = stack
        let program = try Compiled.fixture("small_stack.c", ["-O1"])
        #expect(try Command.run([program, place, "400"]).isSuccess)
        let session = try Session()
        let finished = try session.run([program, place, String(bytes)] + (disarmed ? ["disarm"] : []))
        #expect(finished.isSuccess, "\(finished.end) \(finished.outputText)")
        let region = try session.region()
        let handlers = region.cells.filter { $0.sizeClass == SizeClass.containing(77) }
        #expect(handlers.map(\.counters.allocations).reduce(0, +) == 102)
        #expect(handlers.map(\.counters.liveBlocks).reduce(0, +) == 0)
        let unwound = handlers.filter { $0.kind == .site }.map(\.counters.allocations).reduce(0, +)
        #expect(unwound == (bytes > 4096 ? 102 : 2))
    }

    /// Guards the wait for more room where a forked child's first allocation comes on such a stack: to make a region takes
    /// 800 bytes, and 3,800 where the directory is full of others'. What it did until then is said, and nothing of it is in its
    /// parent's region. The fixture is small_fork.c.
    @Test func forkOnASmallAlternateStack() throws {
        let program = try Compiled.fixture("small_fork.c", ["-O1", "-Wl,-z,now"])
        #expect(try Command.run([program]).isSuccess)
        let session = try Session()
        #expect(try session.run([program]).isSuccess)
        let regions = try session.regions()
        let child = try #require(regions.first { $0.identity.origin == .fork })
        let parent = try #require(regions.first { $0.identity.origin == .exec })
        #expect(child.health.uncountedAllocations == 2)
        #expect(child.health.uncountedBytes == 77 + 78)
        #expect(child.totals.allocations == 10)
        #expect(parent.health.unknownFrees == 0 && parent.health.sharedBankCalls == 0)
        #expect(parent.health.uncountedAllocations == 0)
        let crowded = """
            exec 3< "$2"
            mount -t tmpfs tmpfs /dev/shm || exit 77
            mkdir -m 700 /dev/shm/memtrack-0
            for i in $(seq 200); do : > /dev/shm/memtrack-0/region-1-$i; done
            LD_PRELOAD="$1" /dev/fd/3
            """
        let bare = try Command.run(["unshare", "-rm", "sh", "-c", crowded, "sh", Build.library(), program])
        if bare.errorText.contains("unshare") { return }
        #expect(bare.end == .exited(0) || bare.end == .exited(77), "\(bare.errorText)")
    }

    /// Threads, forks, signals, jumps and coroutines at once: whatever they do to each other, it ends well.
    @Test func stress() throws {
        let session = try Session()
        let finished = try session.run([Compiled.fixture("stress.c", ["-O1"])])
        #expect(finished.end == .exited(0), "\(finished.outputText)")
        let regions = try session.regions()
        let parent = try #require(regions.first { $0.identity.origin == .exec })
        #expect(regions.count > 100)
        #expect(parent.totals.allocations > 10_000)
        #expect(parent.health.unknownFrees == 0)
        #expect(regions.allSatisfy { $0.damagedRecords == 0 })
    }
}
