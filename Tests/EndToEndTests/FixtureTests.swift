// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Programs whose allocations are known: the tables show exactly these. The figures are counted in the sources,
/// Tests/Fixtures/known.c and known.cpp.
@Suite struct FixtureTests {
    private static let sizes: [UInt64] = [
        0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 127, 128, 1023, 1024, 100_000, 400_000,
    ]

    @Test(arguments: ["-O0", "-O2"])
    func sitesOfC(_ optimization: String) throws {
        let session = try Session()
        // Without inlining `zeroed` and the like would be one function with main.
        let program = try Compiled.fixture("known.c", [optimization])
        #expect(try session.run([program]).isSuccess)
        let report = try FixtureReport(session)

        func expect(
            _ function: String, _ site: String? = nil, allocations: Int, bytes: Int, frees: Int, freed: Int,
            temporary: Int? = nil, peakBlocks: Int = 0, peakBytes: Int = 0
        ) throws {
            let sites = report.sites(in: function)
            #expect(sites.count == 1, "\(function): \(sites.map(\.frame))")
            guard let found = sites.first else { return }
            #expect(found.counters.allocations == allocations, "\(function)")
            #expect(found.counters.allocatedBytes == bytes, "\(function)")
            #expect(found.counters.frees == frees, "\(function)")
            #expect(found.counters.freedBytes == freed, "\(function)")
            #expect(found.counters.liveBlocks == allocations - frees, "\(function)")
            #expect(found.counters.liveBytes == bytes - freed, "\(function)")
            #expect(found.counters.peakBlocks == peakBlocks, "\(function)")
            #expect(found.counters.peakBytes == peakBytes, "\(function)")
            if let temporary { #expect(found.counters.temporaryAllocations == temporary, "\(function)") }
            #expect(found.frame.line == (try lineOfSite(site ?? function, in: "known.c")), "\(function)")
            #expect(found.frame.file?.hasSuffix("known.c") == true, "\(function)")
            #expect(found.frame.module == program)
            #expect(found.stack.contains { $0.function == "main" }, "\(function)")
        }
        let sized = Int(Self.sizes.reduce(0, +)) + 77
        try expect(
            "leak_100", allocations: 1000, bytes: 100_000, frees: 0, freed: 0, temporary: 0, peakBlocks: 1000,
            peakBytes: 100_000)
        try expect(
            "mountain", allocations: 64, bytes: 640_000, frees: 64, freed: 640_000, temporary: 1,
            peakBlocks: 64, peakBytes: 640_000)
        try expect("temporary_48", allocations: 500, bytes: 24_000, frees: 500, freed: 24_000, temporary: 500)
        try expect("make_sized", allocations: 17, bytes: sized, frees: 17, freed: sized)
        try expect("zeroed", allocations: 10, bytes: 1650, frees: 10, freed: 1650, temporary: 10)
        // 10 + 20 + ... + 10240; each realloc frees the block before, the last one of size 0 too.
        try expect("grown", allocations: 11, bytes: 20_470, frees: 11, freed: 20_470)
        try expect("grown_array", allocations: 1, bytes: 144, frees: 1, freed: 144, temporary: 1)

        let aligned = report.sites(in: "aligned_family")
        #expect(aligned.map(\.counters.allocations).reduce(0, +) == 5)
        #expect(aligned.map(\.counters.allocatedBytes).reduce(0, +) == 15_061)
        #expect(aligned.map(\.counters.liveBlocks).reduce(0, +) == 0)
        #expect(aligned.map(\.frame.line).contains(try lineOfSite("posix_memalign", in: "known.c")))

        // strdup is the one more: its block comes from libc, for main.
        #expect(report.totals.allocations == 1609)
        #expect(report.totals.frees == report.totals.allocations - 1000)
        #expect(report.totals.liveBytes == 100_000)
    }

    /// Refused requests are no allocations, and a failed realloc leaves its block counted: else these would show.
    @Test func totalsOfC() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("known.c", ["-O0"])]).isSuccess)
        let region = try session.region()
        let sized = Self.sizes.reduce(0, +) + 77
        let bytes: UInt64 = 100_000 + 640_000 + 24_000 + 1650 + 20_470 + 144 + 15_061 + 11 + sized
        #expect(region.totals.allocatedBytes == bytes)
        #expect(region.totals.liveBytes == 100_000)
        #expect(region.totals.liveBlocks == 1000)
        #expect(region.health.unknownFrees == 0)
        // One thread: the peak is exact, and so is what it is made of.
        #expect(region.peakSlackBytes == 0)
        #expect(region.recordedPeakBytes == 740_000)
        #expect(region.totals.peakBytes == 740_000)
        #expect(region.totals.peakBlocks == 1064)
        #expect(region.threadsSeen == 1)
    }

    /// Every size is in the class that holds it, and in no other.
    @Test func sizeClassesOfC() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("known.c", ["-O0"])]).isSuccess)
        let report = try FixtureReport(session)
        let classes = try #require(report.sites(in: "make_sized").first).sizeClasses
        var expected: [ClosedRange<UInt64>: (count: Int, bytes: Int)] = [:]
        for size in Self.sizes + [77] {
            expected[SizeClass.range(SizeClass.containing(size)), default: (0, 0)].count += 1
            expected[SizeClass.range(SizeClass.containing(size)), default: (0, 0)].bytes += Int(size)
        }
        #expect(classes.count == expected.count)
        for shown in classes {
            let range = UInt64(shown.minimumBytes)...UInt64(shown.maximumBytes)
            #expect(expected[range]?.count == shown.allocations, "\(range)")
            #expect(expected[range]?.bytes == shown.allocatedBytes, "\(range)")
        }
        #expect(report.sizeClasses.map(\.allocations).reduce(0, +) == report.totals.allocations)
    }

    @Test func sitesOfCxx() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("known.cpp", ["-O1"])]).isSuccess)
        let report = try FixtureReport(session)

        // The wrapper frames of libstdc++ are not the site; the function that says `new` is.
        let nodes = report.sites(in: "make_node")
        #expect(nodes.count == 1)
        let node = try #require(nodes.first)
        #expect(node.counters.allocations == 250)
        #expect(node.counters.allocatedBytes == 250 * 80)
        #expect(node.counters.frees == 200)
        #expect(node.counters.liveBytes == 50 * 80)
        #expect(node.frame.line == (try lineOfSite("make_node", in: "known.cpp")))

        let plain = report.sites(in: "plain_forms")
        #expect(plain.map(\.counters.allocations).reduce(0, +) == 60)
        #expect(plain.map(\.counters.allocatedBytes).reduce(0, +) == 12_150)
        #expect(plain.map(\.counters.liveBlocks).reduce(0, +) == 0)
        for form in ["new", "new[]", "new nothrow", "new[] nothrow", "new sized"] {
            let line = try lineOfSite(form, in: "known.cpp")
            #expect(plain.contains { $0.frame.line == line }, "\(form)")
        }
        let aligned = report.sites(in: "aligned_forms")
        #expect(aligned.map(\.counters.allocations).reduce(0, +) == 70)
        #expect(aligned.map(\.counters.allocatedBytes).reduce(0, +) == 70 * 384)
        #expect(aligned.map(\.counters.liveBlocks).reduce(0, +) == 0)
        // What could not be had is not counted; the exception itself is libstdc++'s.
        #expect(report.sites(in: "refusals").map(\.counters.liveBlocks).reduce(0, +) == 0)
        #expect(report.sites(in: "refusals").map(\.counters.allocatedBytes).reduce(0, +) < 1000)

        let work = report.sites(in: "work").filter { $0.counters.allocations == 4000 }
        #expect(work.count == 1)
        let site = try #require(work.first)
        #expect(site.counters.allocatedBytes == 4_006_000)
        #expect(site.counters.frees == 4000)
        #expect(site.frame.line == (try lineOfSite("work", in: "known.cpp")))
        #expect(site.sizeClasses.map(\.minimumBytes) == [896])
    }

    /// With several threads the peak is that of a moment near it; how near is said.
    @Test func peakOfThreads() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("peak.c", ["-O1"]), "4", "2000"]).isSuccess)
        let region = try session.region()
        // All threads hold 2,000 blocks of 1,000 bytes before any of them lets go.
        let known: Int64 = 4 * 2000 * 1000
        #expect(region.peakSlackBytes > 0)
        #expect(region.peakSlackBytes <= 6 * 65536)
        #expect(abs(region.recordedPeakBytes - known) <= Int64(region.peakSlackBytes) + 10_000)
        #expect(abs(region.totals.peakBytes - known) <= Int64(region.peakSlackBytes) + 10_000)
        #expect(region.threadsSeen == 5)
        #expect(region.totals.liveBytes < 10_000)
    }

    /// A block beyond 2^38 bytes needs the long form of the live map's entry.
    @Test func hugeBlocks() throws {
        let session = try Session()
        // An allocator that gives address space away: glibc's asks the kernel for memory that is not there.
        let environment = try session.environment(preload: [Compiled.interruptible()])
        let finished = try Command.run([Compiled.fixture("limits.c"), "huge"], environment: environment)
        #expect(finished.isSuccess, "\(finished.errorText)")
        let region = try session.region()
        let size: UInt64 = 300 << 30
        let huge = region.cells.filter { $0.counters.allocatedBytes >= size }
        #expect(huge.map(\.counters.allocations) == [1, 1])
        #expect(Set(huge.map(\.counters.allocatedBytes)) == [size, size + 4097])
        #expect(Set(huge.map(\.counters.freedBytes)) == [size, size + 4097])
        #expect(huge.allSatisfy { $0.sizeClass == SizeClass.containing(size) })
        #expect(region.totals.liveBytes == 0)
    }
}
