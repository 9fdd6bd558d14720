// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import MemtrackSymbols
import Testing

@Suite struct ProfileTests {
    @Test func cellsOfOneSiteAreMerged() throws {
        var process = FakeProcess()
        process.allocate(["malloc", "parse", "load", "main"], bytes: 16, count: 10, freed: 4)
        process.allocate(["malloc", "parse", "load", "main"], bytes: 100, count: 3)
        process.allocate(["calloc", "parse", "reload", "main"], bytes: 16, count: 50)
        process.allocate(["malloc", "other", "main"], bytes: 1, count: 1)
        let profile = process.profile()
        #expect(profile.sites.map(\.frame.function) == ["parse", "other"])
        let parse = try #require(profile.sites.first)
        #expect(parse.counters.allocations == 63)
        #expect(parse.counters.liveBytes == 6 * 16 + 300 + 800)
        #expect(parse.stacks.map(\.counters.allocations) == [13, 50])
        #expect(parse.sizeClasses.map(\.counters.allocations) == [60, 3])
        #expect(profile.totals == process.snapshot.totals)
        #expect(profile.sizeClasses.map(\.counters.allocations) == [1, 60, 3])
        let stack = parse.heaviestStack(by: .live)
        #expect(profile.table.callers(of: stack, limit: 3).map(\.function) == ["reload", "main"])
        #expect(profile.table.callers(of: stack, limit: 1).map(\.function) == ["reload"])
        #expect(
            profile.table.callers(of: parse.heaviestStack(by: .live), limit: 9).first?.module
                == FakeProcess.modulePath)
    }

    @Test func aFunctionThatCallsItselfIsOneCaller() throws {
        var process = FakeProcess()
        process.allocate(
            ["malloc", "walk", "walk", "walk", "load", "walk", "walk", "main"], bytes: 8, count: 1)
        let profile = process.profile()
        let stack = try #require(profile.sites.first).heaviestStack(by: .live)
        #expect(profile.table.callers(of: stack, limit: 9).map(\.function) == ["load", "walk", "main"])
    }

    @Test func eachAddressIsAskedForOnceAndReturnAddressesAreStepsBack() {
        var snapshot = FakeProcess().snapshot
        let bias = FakeProcess.bias
        snapshot.nodes += [
            RegionNode(address: bias + 0x101, parent: 0, module: 1),
            RegionNode(address: bias + 0x200, parent: 1, module: 1, isSignalFrame: true),
            RegionNode(address: bias + 0x101, parent: 2, module: 1),
            RegionNode(address: 0x7f00_1234, parent: 3, module: nil),
        ]
        var one = Counters()
        one.allocations = 1
        snapshot.cells = [RegionCell(kind: .site, stack: 4, sizeClass: 3, counters: one)]
        var asked: [UInt64] = []
        var progress: [[Int]] = []
        let builder = ProfileBuilder { file, address in
            #expect(file == CodeFile(path: FakeProcess.modulePath, buildID: [1, 2]))
            asked.append(address)
            return address == 0x100
                ? [SourceFrame(function: "inner", isInlined: true), SourceFrame(function: "outer")] : []
        }
        let profile = builder.profile(of: snapshot, progress: { progress.append([$0, $1]) })
        #expect(asked == [0x100, 0x200])
        #expect(progress == [[0, 2], [1, 2], [2, 2]])
        let names = profile.table.frameIDs(of: profile.sites[0].stacks[0].stack)
            .map { profile.table.frame($0).function }
        #expect(names == ["0x7f001234", "inner", "outer", "bot+0x200", "inner", "outer"])
        _ = builder.profile(of: snapshot)
        #expect(asked.count == 2)
        let named = builder.profile(of: snapshot, runtimeName: { $0 == 0x7f00_1233 ? "LazyCompile:~f" : nil })
        #expect(named.sites.map(\.frame.function) == ["LazyCompile:~f"])
    }

    /// What a forked child frees of its parent's is no row: it would have less than nothing.
    @Test func builtInKindsAreRows() {
        var snapshot = FakeProcess().snapshot
        var one = Counters()
        one.allocations = 1
        for kind in RegionCellKind.allCases {
            // A site whose stack is nowhere in the file counts as not taken.
            snapshot.cells.append(RegionCell(kind: kind, stack: 77, sizeClass: 200, counters: one))
        }
        let sites = ProfileBuilder(symbolize: { _, _ in [] }).profile(of: snapshot).sites
        #expect(
            sites.map(\.frame.function) == ["(region full)", "(signal handler)", "(stack not taken)"])
        #expect(sites.map(\.counters.allocations) == [1, 1, 2])
    }

    @Test func hostileNodesEndTheStack() {
        var snapshot = FakeProcess().snapshot
        snapshot.nodes += [
            RegionNode(address: 0, parent: 9, module: 1), nil,
            RegionNode(address: .max, parent: 2, module: 7),
            RegionNode(address: 5, parent: 4, module: 1, isTruncated: true),
        ]
        for stack: UInt32 in [0, 1, 2, 3, 4, 5, .max] {
            snapshot.cells.append(
                RegionCell(kind: .site, stack: stack, sizeClass: .max, counters: Counters()))
        }
        let profile = ProfileBuilder(symbolize: { _, _ in [] }).profile(of: snapshot)
        #expect(profile.sites.reduce(0) { $0 + $1.stacks.count } == 4)
    }

    @Test func cutStacksSayWhereTheyWereCut() {
        var process = FakeProcess()
        process.allocate(["malloc", "deep"], bytes: 1, count: 1)
        process.snapshot.nodes[1]?.isTruncated = true
        let profile = process.profile()
        #expect(profile.sites.map(\.frame.function) == ["deep"])
        let names = profile.table.frameIDs(of: profile.sites[0].stacks[0].stack)
            .map { profile.table.frame($0).function }
        #expect(names == ["malloc", "deep", BuiltInFrame.truncated.function])
        #expect(profile.table.callers(of: profile.sites[0].stacks[0].stack, limit: 3).isEmpty)
    }

    @Test func processesAddUpBySite() throws {
        var parent = FakeProcess(pid: 1)
        parent.allocate(["malloc", "parse", "main"], bytes: 8, count: 10, freed: 2, peak: 9)
        parent.snapshot.peakMonotonicNanoseconds = 5
        parent.snapshot.peakSlackBytes = 64
        parent.snapshot.health.unknownFrees = 2
        var child = FakeProcess(pid: 2)
        child.allocate(["malloc", "work", "main"], bytes: 4, count: 1)
        child.allocate(["malloc", "parse", "main"], bytes: 8, count: 5, freed: 5, peak: 1)
        child.snapshot.health.unknownFrees = 3
        let builder = ProfileBuilder { file, address in
            let found = parent.symbolize(file, address)
            return found.isEmpty ? child.symbolize(file, address) : found
        }
        var sum = ProfileAccumulator()
        sum.add(builder.profile(of: parent.snapshot))
        #expect(sum.profile.peak.monotonicNanoseconds == 5)
        sum.add(builder.profile(of: child.snapshot))
        let profile = sum.profile
        #expect(profile.totals == parent.snapshot.totals + child.snapshot.totals)
        #expect(profile.sites.map(\.frame.function) == ["parse", "work"])
        #expect(profile.sites[0].counters.allocations == 15)
        #expect(profile.sites[0].counters.peakBytes == 80)
        #expect(profile.sites[0].stacks.count == 1)
        #expect(profile.shim.health.unknownFrees == 5)
        #expect(profile.peak == Peak(slackBytes: 64, monotonicNanoseconds: nil, processes: 2))
        #expect(profile.sizeClasses.map(\.counters.allocations) == [1, 15])
    }

    /// A ceiling far above what is expected, so that a busy machine does not fail it; what it catches is
    /// a change of order, such as a search through all sites for each cell.
    @Test func manyCellsAreFast() {
        let snapshot = Self.large(cells: 100_000)
        let builder = ProfileBuilder { _, address in
            [SourceFrame(function: address % 4 == 0 ? "std::f\(address)" : "f\(address)")]
        }
        let first = ContinuousClock().measure { _ = builder.profile(of: snapshot) }
        var profile = Profile()
        let second = ContinuousClock().measure { profile = builder.profile(of: snapshot) }
        print("100,000 cells: first \(first), again \(second), \(profile.sites.count) sites")
        #expect(profile.totals.allocations == 100_000)
        #expect(second < .seconds(20))
    }

    static func large(cells: Int) -> RegionSnapshot {
        var snapshot = FakeProcess().snapshot
        var one = Counters()
        one.allocations = 1
        one.allocatedBytes = 16
        for id in 1...cells {
            snapshot.nodes.append(
                RegionNode(
                    address: FakeProcess.bias + 1 + UInt64(id % 5_003), parent: UInt32(id / 3), module: 1))
            snapshot.cells.append(
                RegionCell(
                    kind: .site, stack: UInt32(id), sizeClass: UInt32(id % 50), counters: one))
        }
        return snapshot
    }
}

@Suite struct OrderTests {
    private func site(_ name: String, live: UInt64, count: UInt64, peak: Int64 = 0, id: FrameID) -> Site {
        var counters = Counters()
        counters.allocations = count
        counters.allocatedBytes = live + count
        counters.freedBytes = count
        counters.peakBytes = peak
        return Site(
            id: id, frame: Frame(function: name, module: "/lib/lib\(name).so"), counters: counters)
    }

    @Test func eachKeyAndTies() {
        let sites = [
            site("c", live: 10, count: 5, peak: 1, id: 1), site("b", live: 10, count: 9, peak: 3, id: 2),
            site("a", live: 10, count: 1, peak: 2, id: 3), site("d", live: 99, count: 1, id: 4),
        ]
        func names(_ order: SiteOrder, _ change: [FrameID: Int64] = [:]) -> String {
            order.sorted(sites, change: { change[$0] ?? 0 }).map(\.frame.function).joined()
        }
        #expect(names(.live) == "dabc")
        #expect(names(.count) == "bcda")
        #expect(names(.allocated) == "dbca")
        #expect(names(.peak) == "bacd")
        #expect(names(.growth, [1: 5, 4: -3]) == "cabd")
        // What has not grown: the largest first.
        #expect(names(.growth, [1: 5]) == "cdab")
        #expect(SiteOrder(rawValue: "growth") == .growth)
    }

    @Test func filterLooksAtFunctionAndModule() throws {
        let sites = [site("alpha", live: 1, count: 1, id: 1), site("beta", live: 1, count: 1, id: 2)]
        #expect(try SiteFilter("^al").apply(to: sites).map(\.id) == [1])
        #expect(try SiteFilter("libbeta\\.so$").apply(to: sites).map(\.id) == [2])
        #expect(try SiteFilter("gamma").apply(to: sites).isEmpty)
        #expect(throws: ProfileError.self) { try SiteFilter("[") }
    }
}
