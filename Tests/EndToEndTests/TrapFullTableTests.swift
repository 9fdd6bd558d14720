// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Tables of a fixed size, and a program that has more: it runs as without us, everything is counted, what is not in a
/// table is counted too, and the report says so.
@Suite struct TrapFullTableTests {
    private static func program() throws -> String { try Compiled.fixture("tables.c", ["-O1"]) }

    private static func report(_ session: Session) throws -> String {
        let file = try #require(session.files().last)
        return try Command.run([try Build.reader(), "report", "--region", file.path]).outputText
            .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    /// Guards the table of modules.
    @Test func moreLibrariesThanTheTableHolds() throws {
        let library = try Compiled.fixture(
            "tables.c", as: "copied", ["-DLIBRARY", "-shared", "-fPIC", "-Wl,-z,noseparate-code", "-s"])
        let place = try TemporaryDirectory()
        let session = try Session()
        let count = 4_200
        let run = try session.run([try Self.program(), "libraries", place.path, library, "\(count)"])
        #expect(run.isSuccess, "\(run.end) \(run.errorText)")
        let region = try session.region()
        #expect(region.health.lostModules > 0)
        #expect(region.damagedRecords == 0)
        let named = Set(region.modules.values.map(\.path).filter { $0.hasPrefix(place.path) })
        #expect(named.count + Int(region.health.lostModules) >= count)
        // Each at least once; the loader's own blocks besides.
        let size = SizeClass.containing(100)
        let counted = region.cells.filter { $0.sizeClass == size }.map(\.counters.allocations).reduce(0, +)
        #expect(counted >= UInt64(count))
        #expect(try Self.report(session).contains("found the table of modules full"))
    }

    /// Guards the same table, in which each function of Python that allocates is a record.
    @Test(.enabled(if: Command.python != nil))
    func moreFunctionsThanTheTableHolds() throws {
        let script = """
            kept = []
            scope = {"kept": kept}
            for i in range(26000):
                exec(f"def f{i}(): kept.append([{i}.5])", scope)
                scope[f"f{i}"]()
            print(len(kept))
            """
        let session = try Session()
        let run = try session.run(
            [try #require(Command.python), "-I", "-S", "-c", script], ["MEMTRACK_OBJECTS": "1"])
        #expect(run.isSuccess, "\(run.errorText)")
        #expect(run.outputText == "26000\n")
        let region = try session.region()
        #expect(region.health.lostPythonStacks > 0)
        #expect(region.health.lostModules == 0)
        #expect(region.damagedRecords == 0)
        #expect(region.modules.values.contains { $0.isPython && $0.path.hasPrefix("f20000\n") })
        #expect(try Self.report(session).contains("found the table of functions full"))
    }

    /// Guards the ring of marks and the gauges.
    @Test func moreWordsThanThereIsRoomFor() throws {
        let session = try Session()
        #expect(try session.run([try Self.program(), "words"]).isSuccess)
        let region = try session.region()
        #expect(region.markers.count == 64)
        #expect(region.markers.last?.label == "word 999")
        #expect(region.markersSet == 1000)
        #expect(region.gauges.count == 64)
        #expect(region.health.lostGauges == 936)
        let text = try Self.report(session)
        #expect(text.contains("the last 10 of 1000 marks"))
        let launched = try Report.of([try Self.program(), "words"]).run.errorText
        #expect(launched.contains("the last 10 of 1000 marks"))
        #expect(text.contains("936 gauges found no room"))
    }

    /// Guards the live map: where a piece of it finds no room, its blocks count as freed at once.
    @Test func noRoomForThePieceOfTheLiveMap() throws {
        let session = try Session()
        let run = try session.run([try Self.program(), "map"])
        #expect(run.isSuccess, "\(run.end)")
        let region = try session.region()
        #expect((1...2).contains(region.health.untrackedBlocks))
        #expect(region.health.untrackedBytes == region.health.untrackedBlocks * 70 << 20)
        #expect(region.totals.allocations == 8)
        #expect(region.totals.frees == 8)
        #expect(region.totals.liveBytes == 0)
        #expect(try Self.report(session).contains("could not be followed"))
    }
}
