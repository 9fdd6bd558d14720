// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A resource is taken away rung by rung, until nothing is left of it: the program never notices, and the report has either
/// every allocation or the word for what was missing.
@Suite struct TrapLadderTests {
    struct Rung: CustomTestStringConvertible {
        var limit: String
        var bytes: Int
        var testDescription: String { "\(limit)=\(bytes)" }
    }

    /// What the program prints goes to a file: 64 bytes are its own.
    static let rungs =
        [16, 24, 32, 48, 64, 96, 127, 128, 129, 160, 256, 512, 1024, 4096].map {
            Rung(limit: "--as", bytes: $0 << 20)
        }
        + [64, 4095, 4096, 16_384, 65_536, 131_072, 262_144, 1 << 20, 8 << 20].map {
            Rung(limit: "--fsize", bytes: $0)
        }

    @Test(.enabled(if: Command.has("prlimit")), arguments: rungs)
    func programRunsAndReportSays(_ rung: Rung) throws {
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let command = ["prlimit", "\(rung.limit)=\(rung.bytes)", program, "many", "20000"]
        let bare = try Command.run(command)
        try #require(bare.isSuccess && !bare.output.isEmpty)
        let (report, run) = try Report.of(command)
        #expect(run.end == bare.end && run.output == bare.output, "\(run.end) \(run.errorText)")
        let words = run.errorText.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        if report.processes.contains(where: { $0.executable == program && $0.totals != nil }) {
            // Those of prlimit before it became the program are in the sum, too.
            #expect((report.totals?.allocations ?? 0) >= 20_000)
            #expect(report.health["uncountedAllocations"] == 0)
        } else {
            #expect(words.contains("1 process found no room to count in"), "\(words)")
        }
        #expect(
            ((report.health["regionRefusals"] ?? 0) > 0) == words.contains("raise ulimit -f and -v"),
            "\(words)")
    }
}
