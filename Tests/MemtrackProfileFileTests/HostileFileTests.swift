// SPDX-License-Identifier: Apache-2.0
import MemtrackObjects
import MemtrackProfile
import MemtrackProfileFile
import MemtrackRegion
import Testing

/// Files that were cut, damaged or made to do harm give an error: never a trap, never all memory there is.
@Suite struct HostileFileTests {
    private static func decode(_ bytes: [UInt8]) throws(ProfileFileError) -> LoadedProfile {
        try ProfileFile.decode(name: "x", profile: bytes, companion: nil, wrappers: WrapperMatcher())
    }

    /// A field of a message: number, then its bytes.
    private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2] + varint(UInt64(bytes.count)) + bytes
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (value, result) = (value, [UInt8]())
        repeat {
            result.append(UInt8(value & 0x7f) | (value > 0x7f ? 0x80 : 0))
            value >>= 7
        } while value > 0
        return result
    }

    private static let strings =
        field(6, []) + field(6, Array("inuse_space".utf8)) + field(6, Array("bytes".utf8))
    private static let head = strings + field(1, [0x08, 1, 0x10, 2])

    @Test func everyCutIsAnError() throws {
        let whole = try ProfileFile.encode(Fixture.loaded).profile
        for length in 0..<whole.count {
            let cut = Array(whole.prefix(length))
            #expect(throws: ProfileFileError.self, "\(length) bytes") { try Self.decode(cut) }
        }
        #expect(throws: ProfileFileError.truncated) { try Self.decode(Array(whole.dropLast(9))) }
        #expect(throws: ProfileFileError.empty) { try Self.decode([]) }
    }

    @Test func otherFilesAreNamedAsSuch() {
        for text in [
            "root:x:0:0:root:/root:/bin/bash\n", "{\"a\": 1}", "\u{7f}ELF\u{2}\u{1}", "\n", "memtrack",
        ] {
            #expect(throws: ProfileFileError.notAProfile, "\(text)") { try Self.decode(Array(text.utf8)) }
        }
        let cpu = Self.field(6, []) + Self.field(6, Array("cpu".utf8)) + Self.field(1, [0x08, 1])
        #expect(throws: ProfileFileError.noMemoryFigures(types: ["cpu"])) { try Self.decode(cpu) }
    }

    /// 0 is no figure of theirs.
    @Test func whatAProfileOfAnotherToolLacksIsSaid() throws {
        let notes = try Self.decode(Self.head).summary.notes
        #expect(notes.contains { $0.hasPrefix("The file has no alloc_objects, alloc_space, inuse_objects,") })
        let encoded = try ProfileFile.encode(Fixture.loaded)
        let own = try Self.decode(encoded.profile).summary.notes
        #expect(own.count == 1 && own[0].hasPrefix("x.json is not there"))
    }

    @Test func referencesThatLeadNowhereAreErrors() throws {
        let lost: [[UInt8]] = [
            Self.field(2, Self.field(1, [1]) + Self.field(2, [1])),  // no location 1
            Self.field(2, [0x10, 1, 0x10, 1]),  // two values for one type
            Self.field(4, [0x08, 1, 0x10, 9]),  // no mapping 9
            Self.field(4, [0x08, 1] + Self.field(4, [0x08, 7])),  // no function 7
            Self.field(4, [0x08, 1]) + Self.field(4, [0x08, 1]),  // twice the same id
            Self.field(3, [0x08, 1, 0x28, 99]) + Self.field(4, [0x08, 1, 0x10, 1]),  // no string 99
        ]
        for bytes in lost {
            do {
                _ = try Self.decode(Self.head + bytes)
                Issue.record("accepted \(bytes)")
            } catch {
                guard case .damaged = error else { throw error }
            }
        }
        #expect(throws: ProfileFileError.self) { try Self.decode(Self.field(1, [0x08, 200, 1])) }
    }

    /// 2 bytes in the file are some 60 in memory.
    @Test func manyEmptyRecordsAreRefused() {
        let bytes =
            Self.head + [UInt8](repeating: 0, count: 34 << 20).indices.map { UInt8($0 & 1 == 0 ? 0x12 : 0) }
        #expect(throws: ProfileFileError.tooLarge(what: "records", limit: 16 << 20)) {
            try Self.decode(bytes)
        }
    }

    /// Each sample goes through locations of 4,000 inlined functions.
    @Test func stacksThatMultiplyAreRefused() throws {
        let line: [UInt8] = Self.field(4, [0x08, 1, 0x10, 1])
        var bytes = Self.head + Self.field(5, [0x08, 1, 0x10, 2])
        bytes += Self.field(4, [0x08, 1] + (0..<4_000).flatMap { _ in line })
        let deep = Self.field(2, Self.field(1, [1, 1]) + [0x10, 1])
        #expect(throws: ProfileFileError.tooLarge(what: "frames in a stack", limit: 4_096)) {
            try Self.decode(bytes + deep)
        }
        #expect(
            try Self.decode(bytes + Self.field(2, Self.field(1, [1]) + [0x10, 1])).profile.sites.count == 1)
    }

    @Test func decompressionIsBounded() throws {
        // 300 MB of zeros in 300 KB, as gzip makes them: a member of 1 MB, three hundred times.
        let member = try Gzipped.zeros(megabytes: 1)
        let bomb = (0..<300).flatMap { _ in member }
        #expect(throws: ProfileFileError.tooLarge(what: "bytes after decompression", limit: 256 << 20)) {
            try Self.decode(bomb)
        }
    }

    /// Any figure and any text of the companion may be another, object types included, with a profile that it belongs to.
    @Test(arguments: 0..<4) func figuresOfACompanionMayBeAnything(seed: Int) throws {
        let encoded = try ProfileFile.encode(Fixture.loaded)
        var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let wild = [
            "-1", "0", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e308",
            "-1e308", "0.5",
            "null", "[]", "{}", "true", "\"Swift\"", "\"C++\"", "\"\\u001b[2J\"", "\"\"",
        ]
        let lines = String(decoding: encoded.companion, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let places = lines.indices.filter { place in
            lines[place].contains("\" : ") && !lines[place].contains("profileCrc32")
                && ![" [", " {"].contains { lines[place].hasSuffix($0) }
        }
        #expect(places.contains { lines[$0].contains("ownedBytes") })
        var withTypes = 0
        for _ in 0..<500 {
            var damaged = lines
            for _ in 0...random(3) {
                let place = places[random(places.count)]
                guard let value = damaged[place].firstRange(of: "\" : ") else { continue }
                let end = damaged[place].hasSuffix(",") ? "," : ""
                damaged[place] = damaged[place][..<value.upperBound] + wild[random(wild.count)] + end
            }
            guard
                let read = try? ProfileFile.decode(
                    name: "x", profile: encoded.profile,
                    companion: Array(damaged.joined(separator: "\n").utf8), wrappers: WrapperMatcher()),
                let types = read.summary.types
            else { continue }
            withTypes += 1
            #expect(types.objects >= 0 && types.rows.allSatisfy { $0.count >= 0 && $0.ownedBlocks >= 0 })
            _ = types.compared(with: Fixture.types).sorted(by: .growth)
            _ = LoadedProfile.merged([read, read], name: "m")
            _ = try? TypeDiff(old: [Fixture.loaded], new: [read])
            _ = try ProfileFile.encode(read)
        }
        #expect(withTypes > 20)
    }

    /// Any byte may be wrong. The random numbers are the same each time.
    @Test(arguments: 0..<8) func damageGivesAnErrorOrAProfile(seed: Int) throws {
        let encoded = try ProfileFile.encode(Fixture.loaded)
        let plain = try Gzipped.plain(encoded.profile)
        var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 | 1
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        var errors = 0
        for _ in 0..<1_500 {
            var bytes = plain
            for _ in 0...random(4) { bytes[random(bytes.count)] = UInt8(random(256)) }
            var companion = encoded.companion
            companion[random(companion.count)] = UInt8(random(256))
            do {
                let read = try ProfileFile.decode(
                    name: "x", profile: bytes, companion: companion, wrappers: WrapperMatcher())
                #expect(!read.hasCompanion)
            } catch {
                errors += 1
            }
        }
        #expect(errors > 100)
    }
}
