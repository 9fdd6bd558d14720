// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Ways to get a second process. The fixture is Tests/Fixtures/fork.c.
@Suite struct TrapForkTests {
    private func run(_ mode: String, preload: [String] = []) throws -> Session {
        let session = try Session()
        let finished = try Command.run(
            [Compiled.fixture("fork.c", ["-O1"]), mode], environment: session.environment(preload: preload))
        #expect(finished.isSuccess, "\(finished.end)")
        return session
    }

    /// Guards the page that is wiped on fork, the child's own region, and cell ids that begin where the parent's ended:
    /// without the last, what the child frees of its parent's would be taken off its own sites.
    @Test func childCountsItsOwn() throws {
        let session = try run("inherit")
        let regions = try session.regions()
        #expect(regions.count == 2)
        let parent = try #require(regions.first)
        let child = try #require(regions.last)
        #expect(parent.identity.origin == .exec)
        #expect(parent.totals.allocations == 300)
        #expect(parent.totals.frees == 100)
        #expect(parent.totals.liveBytes == 20_000)
        #expect(parent.allocations(.inherited) == 0)

        #expect(child.identity.origin == .fork)
        #expect(child.identity.parentPID == parent.identity.pid)
        #expect(
            child.identity.parentCreatedMonotonicNanoseconds == parent.identity.createdMonotonicNanoseconds)
        // 50 blocks of 64 bytes and the one that realloc made of an inherited one.
        #expect(child.totals.allocations == 51)
        #expect(child.totals.allocatedBytes == 8200)
        let inherited = child.cells.filter { $0.kind == .inherited }
        #expect(inherited.map(\.counters.frees).reduce(0, +) == 201)
        #expect(inherited.map(\.counters.freedBytes).reduce(0, +) == 20_100)
        #expect(child.totals.frees == 221)
        #expect(child.health.unknownFrees == 0)
        let own = child.cells.filter { $0.kind == .site && $0.sizeClass == SizeClass.containing(64) }
        #expect(own.map(\.counters.liveBlocks).reduce(0, +) == 30)
        // The child was made of its parent's modules and rules, and its stacks are whole all the same.
        let sites = try FixtureReport(region: session.files()[1].path).sites(in: "make")
        #expect(sites.map(\.counters.allocations).reduce(0, +) == 50)
        #expect(sites.allSatisfy { $0.stack.map(\.function).prefix(3) == ["make", "inherit", "main"] })
    }

    /// Guards the live heap of a program whose children free what they inherited: it was below zero, and a parent's leak
    /// masked. And their peaks: less than nothing.
    @Test func whatChildrenFreeOfTheirParentsIsApart() throws {
        let program = try Compiled.fixture("fork.c", ["-O1"])
        let (report, run) = try Report.of([program, "inherit"], options: ["-i", "0"])
        #expect(run.isSuccess)
        let child = try #require(report.processes.first { $0.origin == "fork" }?.totals)
        let parent = try #require(report.processes.first { $0.origin == "exec" }?.totals)
        #expect(parent.liveBytes == 20_000)
        #expect(child.liveBlocks == 31 && child.frees == 20)
        #expect(child.peakBytes > 0 && child.peakBytes <= 8200)
        #expect(report.totals == parent + child)
        #expect(report.health["inheritedFrees"] == 201 && report.health["inheritedFreedBytes"] == 20_100)
        #expect(report.sites.allSatisfy { $0.totals.liveBytes >= 0 && $0.totals.peakBytes >= 0 })
        #expect(run.errorText.contains("  inherited"))
    }

    @Test func childrenOfChildren() throws {
        let regions = try run("generations").regions()
        #expect(regions.count == 4)
        for (number, region) in regions.enumerated() {
            #expect(region.totals.allocations == 10)
            #expect(region.totals.allocatedBytes == UInt64(1000 * (number + 1)))
            let inherited = region.cells.filter { $0.kind == .inherited }
            #expect(inherited.map(\.counters.frees).reduce(0, +) == UInt64(number))
            #expect(region.totals.frees == UInt64(number))
            #expect(region.health.unknownFrees == 0)
            guard number > 0 else { continue }
            let parent = regions[number - 1].identity
            #expect(region.identity.parentCreatedMonotonicNanoseconds == parent.createdMonotonicNanoseconds)
        }
    }

    /// Guards that nothing of ours is locked or half done in a child when other threads were inside hooks.
    @Test func forkAmongThreads() throws {
        let regions = try run("threads").regions()
        #expect(regions.count == 151)
        for child in regions.dropFirst() {
            #expect(child.identity.origin == .fork)
            #expect(child.totals.allocations >= 100)
            #expect(child.health.unknownFrees == 0)
            #expect(child.damagedRecords == 0)
        }
        // The parent's own figures are whole: all that its threads made they have freed.
        #expect((regions.first?.totals.liveBlocks ?? 1000) < 20)
        #expect(regions.first?.health.unknownFrees == 0)
    }

    /// Guards the case of a child that is in its parent's memory: it must not get a region, nor disturb the parent's.
    @Test func vforkAndSpawn() throws {
        let session = try run("vfork")
        let regions = try session.regions()
        let parent = try #require(regions.first)
        #expect(parent.totals.allocations == 6)
        #expect(parent.totals.allocatedBytes == 667)
        #expect(parent.totals.frees == 1)
        // Seven programs were started; none of them by a forked child that had counted anything.
        #expect(regions.count == 8)
        #expect(regions.allSatisfy { $0.identity.origin == .exec })
    }

    /// Guards detection by the kernel: no atfork handler runs here.
    @Test func cloneBehindLibc() throws {
        let regions = try run("clone").regions()
        #expect(regions.count == 2)
        #expect(regions.first?.totals.allocations == 1)
        #expect(regions.first?.totals.frees == 1)
        #expect(regions.last?.identity.origin == .fork)
        #expect(regions.last?.totals.allocations == 10)
        #expect(regions.last?.totals.frees == 11)
    }

    /// One PID, six images, six regions; nothing of an image is counted in the next one.
    @Test func execChain() throws {
        let regions = try run("chain").regions()
        #expect(regions.map(\.totals.allocations) == [5, 4, 3, 2, 1, 0])
        #expect(Set(regions.map(\.identity.pid)).count == 1)
        #expect(regions.map { $0.identity.arguments.last } == ["chain", "4", "3", "2", "1", "0"])
    }

    /// Guards the repair after a fork that happened inside a hook: the interrupted thread's memory is left alone, also that
    /// of a walk, whose stack must not get into the child's tables.
    @Test(arguments: ["handler", "missing-handler"])
    func forkInAHandlerThatInterruptsAHook(_ mode: String) throws {
        let regions = try run(mode, preload: [Compiled.interruptible()]).regions()
        #expect(regions.count == 301)
        for child in regions.dropFirst() {
            let inHandler = child.cells.filter { $0.sizeClass == SizeClass.containing(500) }
            #expect(inHandler.map(\.counters.allocations).reduce(0, +) == 20)
            #expect(inHandler.map(\.counters.liveBlocks).reduce(0, +) == 0)
            #expect(child.damagedRecords == 0)
        }
        // Every other child went back into the hook that it was forked in, and made 1,000 blocks more.
        let returned = regions.dropFirst().filter { $0.totals.allocations >= 1020 }
        #expect(returned.count == 150)
        #expect(regions.first?.totals.liveBlocks == 0)
    }

    /// With sampling a hook is not marked: it may go on in the child with what it has read of its parent's region. A fork at
    /// each instruction of it, one after the other.
    @Test(arguments: ["", "100000"])
    func forkAtEachInstructionOfAHook(_ sample: String) throws {
        let session = try Session()
        let environment = try session.environment(
            preload: [Compiled.interruptible()], sample.isEmpty ? [:] : ["MEMTRACK_SAMPLE": sample])
        let finished = try Command.run(
            [Compiled.fixture("fork.c", ["-O1"]), "each-instruction"], environment: environment)
        #expect(finished.isSuccess, "\(finished.end)")
        let regions = try session.regions()
        #expect(regions.count > 50)
        #expect(regions.allSatisfy { $0.damagedRecords == 0 })
    }

    /// The hook is over before the child allocates: nothing tells it any more that its memory was kept.
    @Test func forkInAHandlerThatAllocatesNothing() throws {
        let regions = try run("quiet-handler", preload: [Compiled.interruptible()]).regions()
        #expect(regions.count == 301)
        for child in regions.dropFirst() {
            #expect(child.damagedRecords == 0 && child.totals.allocations >= 1000)
        }
    }

    /// Guards the hook that goes on in a child which is not counted: nothing that it counts with is there any more.
    @Test(arguments: ["handler", "quiet-handler", "missing-handler"])
    func childrenNotWantedInAHandler(_ mode: String) throws {
        let session = try Session()
        let environment = try session.environment(
            preload: [Compiled.interruptible()],
            ["MEMTRACK_CHILDREN": "0", "MEMTRACK_LAUNCHER_PID": String(getpid())])
        let finished = try Command.run(
            [Compiled.fixture("fork.c", ["-O1"]), mode], environment: environment)
        #expect(finished.isSuccess, "\(finished.end)")
        let region = try session.region()
        #expect(region.identity.origin == .exec)
        #expect(region.totals.liveBlocks == 0)
        #expect(region.damagedRecords == 0)
    }

    /// Guards `--no-children`: the child is not counted, and goes on in peace.
    @Test func childrenNotWanted() throws {
        let session = try Session()
        let environment = try session.environment([
            "MEMTRACK_CHILDREN": "0", "MEMTRACK_LAUNCHER_PID": String(getpid()),
        ])
        let finished = try Command.run(
            [Compiled.fixture("fork.c", ["-O1"]), "inherit"], environment: environment)
        #expect(finished.isSuccess)
        let region = try session.region()
        #expect(region.identity.origin == .exec)
        #expect(region.totals.allocations == 300)
        #expect(region.totals.frees == 100)
    }
}
