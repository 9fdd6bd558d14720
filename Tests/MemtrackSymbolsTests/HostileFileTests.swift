// SPDX-License-Identifier: Apache-2.0

import Foundation
import MemtrackSymbols
import Testing

/// Files cut short or full of nonsense give fewer names, or none: never a trap, a hang or an endless answer.
@Suite(.enabled(if: hasTool("g++") && hasTool("gcc"), "no gcc"))
struct HostileFileTests {
    private static func program(_ workshop: Workshop, _ flags: String) throws -> (
        bytes: [UInt8], text: Range<UInt64>
    ) {
        try workshop.write("c.c", cSource)
        try workshop.run("gcc -O2 \(flags) c.c -o program")
        let file = workshop.path("program")
        let symbols = try functionSymbols(of: file)
        let start = try #require(symbols.first?.start)
        let end = try #require(symbols.last.map { $0.start + $0.size })
        return (Array(try Data(contentsOf: URL(fileURLWithPath: file))), start..<end)
    }

    private static func ask(_ bytes: [UInt8], _ text: Range<UInt64>, in workshop: Workshop) throws {
        let path = workshop.path("hostile")
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let symbolizer = Symbolizer()
        let file = CodeFile(path: path, buildID: [])
        for address in stride(from: text.lowerBound, to: text.upperBound, by: 7) {
            #expect(symbolizer.frames(in: file, address: address).count < 10_000)
        }
        _ = symbolizer.note(for: file)
    }

    @Test func truncatedAtManyLengths() throws {
        let workshop = try Workshop()
        let (bytes, text) = try Self.program(workshop, "-g")
        for length in stride(from: 0, to: bytes.count, by: 97) {
            try Self.ask(Array(bytes[..<length]), text, in: workshop)
        }
    }

    /// Not the kernel's checks but ours: the header stays, so that the damage is read.
    @Test(arguments: ["-g", "-gdwarf-4", "-g -gz", ""])
    func damagedBytes(flags: String) throws {
        let workshop = try Workshop()
        let (bytes, text) = try Self.program(workshop, flags)
        var generator = SplitMix(state: 99)
        for round in 0..<150 {
            var damaged = bytes
            for _ in 0..<(1 + round) {
                let place = Int.random(in: 20..<bytes.count, using: &generator)
                damaged[place] = UInt8.random(in: 0...255, using: &generator)
            }
            try Self.ask(damaged, text, in: workshop)
        }
    }

    /// The same, but only in the sections that hold debug information and symbols.
    @Test(arguments: [
        ".debug_info", ".debug_abbrev", ".debug_line", ".debug_rnglists", ".debug_str", ".symtab",
    ])
    func damagedSections(section: String) throws {
        let workshop = try Workshop()
        let (bytes, text) = try Self.program(workshop, "-g")
        let sections = try workshop.run("objdump -h program").split(separator: "\n").map {
            $0.split(separator: " ")
        }
        var range = 0..<0
        if let row = sections.first(where: { $0.count > 5 && $0[1] == Substring(section) }),
            let size = Int(row[2], radix: 16), let offset = Int(row[5], radix: 16)
        {
            range = offset..<(offset + size)
        } else {
            range = (bytes.count * 3 / 4)..<bytes.count  // objdump lists no .symtab: it is near the end
        }
        var generator = SplitMix(state: 5)
        for round in 0..<120 {
            var damaged = bytes
            for _ in 0..<(1 + round / 4) {
                damaged[Int.random(in: range, using: &generator)] = UInt8.random(
                    in: 0...255, using: &generator)
            }
            try Self.ask(damaged, text, in: workshop)
        }
    }

    @Test func randomBytesAfterAHeader() throws {
        let workshop = try Workshop()
        let (bytes, text) = try Self.program(workshop, "")
        var generator = SplitMix(state: 3)
        for _ in 0..<50 {
            let noise = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) }
            try Self.ask(noise, text, in: workshop)
            try Self.ask(Array(bytes[..<64]) + noise, text, in: workshop)
            try Self.ask(Array(bytes[..<1024]) + noise, text, in: workshop)
        }
    }
}
