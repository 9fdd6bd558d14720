// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A program that runs in the session without the library is named, at the checkpoint and in the report: a server behind a
/// script that cleans its environment is not "0 B live". The fixture is idle.c.
@Suite struct UncountedTests {
    /// The program runs for a second.
    private static func run(_ script: String, _ options: [String] = []) throws -> (Report, Finished) {
        let program = try Compiled.fixture("idle.c", as: "idle", ["-O1"])
        let still = try Compiled.fixture("idle.c", as: "still", ["-O1", "-static"])
        return try Report.of(["sh", "-c", script, program, still], options: ["-i", "0.8"] + options)
    }

    private static let environment = "is not counted: its environment has lost the library"
    private static let loader = "is not counted: the loader takes no library along"

    @Test(arguments: [
        ("exec env -i \"$0\"", "idle", environment), ("env -i \"$0\"; exit 0", "idle", environment),
        ("exec \"$1\"", "still", loader), ("\"$1\"; exit 0", "still", loader),
    ]) func isNamed(script: String, name: String, reason: String) throws {
        let (report, run) = try Self.run(script)
        #expect(run.isSuccess)
        // In 120 columns the sentence is broken.
        let text = run.errorText.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let parts = text.components(separatedBy: "── memtrack ── sh")
        try #require(parts.count == 2, "\(run.errorText)")
        for part in parts {
            #expect(part.contains(reason) && part.contains("! \(name)"), "\(run.errorText)")
        }
        #expect(report.notes.contains { $0.hasPrefix(name) && $0.contains(reason) })
        let process = try #require(report.processes.first { $0.executable.contains("/" + name + "-") })
        #expect(process.totals == nil && !process.running, "\(process)")
        #expect(run.errorText.contains("not counted"))
    }

    /// Whoever is counted, or is not meant to be, is not named.
    @Test(
        arguments: [
            ("exec \"$0\"", []), ("\"$0\"; exit 0", []), ("exec env -i \"$0\"", ["--follow-exec", "force"]),
            ("env -i \"$0\"; exit 0", ["--no-children"]), ("exec \"$1\"", ["--follow-exec", "off"]),
        ] as [(String, [String])]) func isNotNamed(script: String, options: [String]) throws
    {
        let (report, run) = try Self.run(script, options)
        #expect(run.isSuccess && report.notes.isEmpty, "\(report.notes)")
        #expect(!run.errorText.contains("is not counted"), "\(run.errorText)")
    }
}
