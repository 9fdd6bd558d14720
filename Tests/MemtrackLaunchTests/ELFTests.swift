// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackLaunch

/// Puts an ELF file together byte by byte: header, program headers, then their contents.
struct ELFBuilder {
    var is64 = true
    var isBigEndian = false
    var type: UInt64 = 3
    var machine: UInt64 = 62
    /// (p_type, contents). The contents of loadable segments are not needed: one covers the whole file.
    var segments: [(type: UInt64, bytes: [UInt8])] = []

    func integer(_ value: UInt64, _ size: Int) -> [UInt8] {
        let little = (0..<size).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
        return isBigEndian ? little.reversed() : little
    }

    /// A dynamic segment that names its strings by address; file offset and address are the same.
    func dynamic(_ tags: [(UInt64, UInt64)]) -> [UInt8] {
        (tags + [(0, 0)]).flatMap { integer($0.0, is64 ? 8 : 4) + integer($0.1, is64 ? 8 : 4) }
    }

    var headerSize: Int { (is64 ? 64 : 52) + (segments.count + 1) * (is64 ? 56 : 32) }

    func build() -> [UInt8] {
        let word = is64 ? 8 : 4
        var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, isBigEndian ? 2 : 1, 1]
        bytes += [UInt8](repeating: 0, count: 9)
        bytes += integer(type, 2) + integer(machine, 2) + integer(1, 4)
        bytes += integer(0, word) + integer(is64 ? 64 : 52, word) + integer(0, word) + integer(0, 4)
        bytes += integer(is64 ? 64 : 52, 2) + integer(is64 ? 56 : 32, 2)
        bytes += integer(UInt64(segments.count + 1), 2)
        bytes += integer(is64 ? 64 : 40, 2) + integer(0, 2) + integer(0, 2)
        let total = UInt64(headerSize + segments.map(\.bytes.count).reduce(0, +))
        var offset = UInt64(headerSize)
        var parts: [(type: UInt64, size: UInt64)] = [(1, total)]
        parts += segments.map { ($0.type, UInt64($0.bytes.count)) }
        for (index, (type, size)) in parts.enumerated() {
            let place = index == 0 ? 0 : offset
            if is64 {
                bytes += integer(type, 4) + integer(5, 4) + integer(place, 8) + integer(place, 8)
                bytes += integer(place, 8) + integer(size, 8) + integer(size, 8) + integer(1, 8)
            } else {
                bytes += integer(type, 4) + integer(place, 4) + integer(place, 4) + integer(place, 4)
                bytes += integer(size, 4) + integer(size, 4) + integer(5, 4) + integer(1, 4)
            }
            if index > 0 { offset += size }
        }
        return bytes + segments.flatMap(\.bytes)
    }
}

@Suite struct ELFTests {
    private func facts(_ bytes: [UInt8]) throws -> ELFFacts { try ELFFacts(ELFFile(ByteSource(bytes))) }

    private func sample(is64: Bool = true, isBigEndian: Bool = false) -> ELFBuilder {
        var builder = ELFBuilder(is64: is64, isBigEndian: isBigEndian)
        let strings = Array("\0libtsan.so.2\0libc.so.6\0".utf8)
        let four = builder.integer(4, 4)
        let note = four + four + four + Array("Go\0\0abcd".utf8)
        builder.segments = [
            (3, Array("/lib/ld-musl-x86_64.so.1\0".utf8)), (0x7000_0000, strings), (4, note), (2, []),
        ]
        let address = UInt64(builder.headerSize + builder.segments[0].bytes.count)
        builder.segments[3].bytes = builder.dynamic([
            (1, 1), (1, 14), (1, 5000), (5, address), (10, UInt64(strings.count)), (0x6fff_fffb, 0x0800_0000),
        ])
        return builder
    }

    @Test(arguments: [true, false], [true, false])
    func readsBothClassesAndByteOrders(is64: Bool, isBigEndian: Bool) throws {
        let facts = try facts(sample(is64: is64, isBigEndian: isBigEndian).build())
        #expect(facts.is64 == is64 && facts.isBigEndian == isBigEndian && facts.machine == 62)
        #expect(facts.interpreter == "/lib/ld-musl-x86_64.so.1")
        #expect(facts.needed == ["libtsan.so.2", "libc.so.6"])
        #expect(facts.sanitizer == "ThreadSanitizer")
        #expect(facts.isGo && facts.isMarkedProgram && facts.isPositionIndependent)
    }

    @Test func everyTruncationIsAnErrorOrAPartOfTheTruth() throws {
        let bytes = sample().build()
        let whole = try facts(bytes)
        for length in 0..<bytes.count {
            guard let cut = try? facts(Array(bytes[..<length])) else { continue }
            #expect(length >= 64 + 5 * 56)
            #expect(cut.interpreter == nil || cut.interpreter == whole.interpreter)
            #expect(Set(cut.needed).isSubset(of: whole.needed))
        }
        #expect(throws: ELFFile.Damage.notELF) { try ELFFile(ByteSource([])) }
        #expect(throws: ELFFile.Damage.header) { try ELFFile(ByteSource(Array(bytes[..<20]))) }
        #expect(throws: ELFFile.Damage.programHeaders) { try ELFFile(ByteSource(Array(bytes[..<100]))) }
    }

    /// Any byte may have any value: no answer matters here, only that there is one.
    @Test func damageDoesNotTrap() throws {
        var random = SystemRandomNumberGenerator()
        let crafted = sample().build()
        let real = Array(try Data(contentsOf: URL(fileURLWithPath: "/bin/true")))
        for _ in 0..<3000 {
            var bytes = crafted
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 4..<bytes.count, using: &random)
                bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
            }
            _ = try? facts(bytes)
        }
        for _ in 0..<200 {
            var bytes = real
            // The file header, or the section headers at the end.
            let range = Bool.random(using: &random) ? 0..<64 : bytes.count - 2000..<bytes.count
            for _ in 0..<4 {
                bytes[Int.random(in: range, using: &random)] = .random(in: 0...255, using: &random)
            }
            _ = try? facts(bytes)
            _ = try? facts(Array(bytes[..<Int.random(in: 0..<bytes.count, using: &random)]))
        }
    }

    @Test func readsBeyondTheEndAreRefused() {
        let source = ByteSource([1, 2, 3, 4])
        #expect(source.bytes(at: 0, count: 4) == [1, 2, 3, 4])
        #expect(source.bytes(at: 4, count: 0) == [])
        for (offset, count) in [(0, 5), (4, 1), (UInt64.max, 1), (1, UInt64.max), (UInt64.max, UInt64.max)] {
            #expect(source.bytes(at: offset, count: count) == nil)
        }
        let reader = IntegerReader(bytes: [1, 2, 3, 4], isBigEndian: false)
        #expect(reader.integer(0, size: 4) == 0x0403_0201)
        #expect(reader.integer(1, size: 4) == nil && reader.integer(-1, size: 2) == nil)
        #expect(reader.integer(.max, size: 8) == nil && reader.integer(0, size: 8) == nil)
        #expect(reader.text(0) == nil && reader.text(.max) == nil)
    }
}
