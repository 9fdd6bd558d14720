// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// The figures of a region against those of Tests/Shim/counter.c, which stands behind the shim as its next allocator
/// and so sees the same calls: equal for every process image, to the last byte.
@Suite struct CountingTests {
    @Test(arguments: RealProgram.counted)
    func totalsEqualAnIndependentCount(_ program: RealProgram) throws {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            program.command, environment: environment, input: Data(program.input.utf8),
            directory: Workplace.directory.get().path)
        #expect(finished.isSuccess, "\(finished.errorText)")
        try CounterFile.expectEqual(session, counts)
    }

    @Test(arguments: ["threads", "exceptions"])
    func cxxThreads(_ mode: String) throws {
        let session = try Session()
        let counts = try TemporaryDirectory()
        let environment = try session.environment(
            preload: [Compiled.counter()], ["COUNTER_DIRECTORY": counts.path])
        let finished = try Command.run(
            [Compiled.fixture("stacks.cpp", ["-O2"]), mode], environment: environment)
        #expect(finished.isSuccess, "\(finished.errorText)")
        let region = try session.region()
        #expect(region.totals.allocations > 20_000)
        try CounterFile.expectEqual(session, counts)
    }

    /// valgrind counts by other means still: it replaces malloc itself.
    @Test(.enabled(if: Command.has("valgrind"), "valgrind is not installed"))
    func totalsEqualValgrinds() throws {
        let program = try Compiled.fixture("known.c", ["-O1"])
        let session = try Session()
        #expect(try session.run([program, "plain"]).isSuccess)
        let totals = try session.region().totals

        let valgrind = try Command.run(["valgrind", "--run-libc-freeres=no", program, "plain"])
        let line = valgrind.errorText.split(separator: "\n").first { $0.contains("total heap usage:") }
        let numbers = try #require(line).split(separator: ":").last?
            .split(separator: ",", omittingEmptySubsequences: true).joined()
            .split(separator: " ").compactMap { UInt64($0) }
        #expect(numbers == [totals.allocations, totals.frees, totals.allocatedBytes])
    }
}

/// What a run prints and how it ends, with the library and without.
@Suite struct CountingIdentityTests {
    @Test(arguments: RealProgram.compared)
    func behaviourIsTheSame(_ program: RealProgram) throws {
        let directory = try Workplace.directory.get().path
        let input = Data(program.input.utf8)
        let bare = try Command.run(program.command, input: input, directory: directory)
        let session = try Session()
        let preloaded = try session.run(program.command, input: input, directory: directory)
        #expect(preloaded.end == bare.end)
        #expect(preloaded.outputText == bare.outputText)
        #expect(preloaded.errorText == bare.errorText)
        // Else the library was not there, and the comparison says nothing.
        #expect(try session.regions().contains { $0.totals.allocations > 0 })
    }
}

/// The files of Tests/Shim/counter.c, one for each process image.
struct CounterFile: Equatable {
    var allocations: UInt64
    var bytes: UInt64
    var frees: UInt64

    /// By PID, in the order in which the images began.
    static func all(in directory: TemporaryDirectory) throws -> [Int32: [CounterFile]] {
        var found: [Int32: [(Int, CounterFile)]] = [:]
        for name in directory.entries() {
            let parts = name.split(separator: "-").compactMap { Int($0) }
            let data = try Data(contentsOf: URL(fileURLWithPath: directory.file(name)))
            guard parts.count == 2, data.count >= 24 else {
                throw HarnessError("\(name): not a counter file")
            }
            let words = data.prefix(24).withUnsafeBytes { bytes in
                (0..<3).map { bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
            }
            let file = CounterFile(allocations: words[0], bytes: words[1], frees: words[2])
            found[Int32(parts[0]), default: []].append((parts[1], file))
        }
        return found.mapValues { $0.sorted { $0.0 < $1.0 }.map(\.1) }
    }

    /// Every image of the session has counted what the counter counted.
    static func expectEqual(
        _ session: Session, _ directory: TemporaryDirectory, location: SourceLocation = #_sourceLocation
    ) throws {
        let counted = try all(in: directory)
        let regions = Dictionary(grouping: try session.regions(), by: \.identity.pid)
        #expect(!regions.isEmpty, sourceLocation: location)
        #expect(Set(regions.keys) == Set(counted.keys), sourceLocation: location)
        for (pid, images) in regions {
            let ours = images.map { region in
                CounterFile(
                    allocations: region.totals.allocations &+ region.health.uncountedAllocations,
                    bytes: region.totals.allocatedBytes &+ region.health.uncountedBytes,
                    frees: region.totals.frees &+ region.health.unknownFrees)
            }
            let what = images.map { $0.identity.arguments.prefix(3).joined(separator: " ") }
            #expect(ours == counted[pid], "\(what)", sourceLocation: location)
            for image in images {
                #expect(image.health.unknownFrees == 0, "\(what)", sourceLocation: location)
                #expect(image.health.untrackedBlocks == 0, "\(what)", sourceLocation: location)
                #expect(image.health.uncountedAllocations == 0, "\(what)", sourceLocation: location)
                #expect(image.damagedRecords == 0, "\(what)", sourceLocation: location)
            }
        }
    }
}
