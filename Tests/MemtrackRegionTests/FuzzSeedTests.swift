// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import MemtrackRegion

/// What the fuzzer of `make fuzz` starts from. Guards that it gets beyond the door: a seed that is refused at once teaches it
/// nothing of what lies behind.
@Suite struct FuzzSeedTests {
    private let directory = TemporaryDirectory()
    private let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fuzz/Corpus/region")

    private func snapshot(of input: [UInt8]) throws -> RegionSnapshot {
        let file = try #require(input.withUnsafeBytes { wholeFile($0, of: richBuilder().bytes) })
        let path = directory.file("region")
        try Data(file).write(to: URL(filePath: path))
        return try RegionFile(path: path).snapshot()
    }

    private func seed(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: corpus.appending(path: name)))
    }

    @Test func wholeIsAccepted() throws {
        let snapshot = try snapshot(of: seed("whole"))
        #expect(snapshot.damagedRecords == 0)
        #expect(snapshot.cells.count == 101)
        #expect(snapshot.totals.allocations == 5051)
        #expect(snapshot.identity.executable == "/usr/bin/victim")
    }

    /// Of what is behind the door, each byte is the fuzzer's to change.
    @Test func changesComeThrough() throws {
        var input = try seed("whole")
        input[1 + RegionBuilder.Header.executable + 1] ^= 0x20
        #expect(try snapshot(of: input).identity.executable == "/Usr/bin/victim")
    }

    @Test func cutIsTooShort() throws {
        let input = try seed("cut")
        let sound = richBuilder().bytes.count
        #expect {
            try snapshot(of: input)
        } throws: { error in
            error as? RegionError
                == .truncated(
                    directory.file("region"), expected: UInt64(sound), found: UInt64(input.count - 1))
        }
    }

    /// The rest are patches, for the harness to apply.
    @Test func othersAreNoFiles() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: corpus.path)
        #expect(names.count > 5)
        for name in names where !["whole", "cut"].contains(name) {
            let isFile = try seed(name).withUnsafeBytes { wholeFile($0, of: [0]) != nil }
            #expect(!isFile, "\(name)")
        }
    }
}
