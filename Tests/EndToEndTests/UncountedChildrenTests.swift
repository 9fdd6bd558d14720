// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A program that a counted one starts (with vfork, so that no region comes before it) and that is not counted is named, at
/// the checkpoint and in the report: it is in no figure. The fixture is idle.c, which runs for a second.
@Suite(.enabled(if: Command.python != nil)) struct UncountedChildrenTests {
    private static let starter = """
        import subprocess, sys
        subprocess.run([sys.argv[1]], **({"env": {}} if sys.argv[2] == "cleaned" else {}))
        """

    private static func run(
        _ flags: [String], _ environment: String, _ options: [String] = []
    ) throws -> (Report, Finished) {
        let program = try Compiled.fixture("idle.c", ["-O1"] + flags)
        return try Report.of(
            [try #require(Command.python), "-c", starter, program, environment],
            options: ["-i", "0.9"] + options)
    }

    @Test(
        arguments: [
            ([], "cleaned", "its environment has lost the library"),
            (["-static"], "same", "the loader takes no library along"),
        ] as [([String], String, String)]) func isNamed(flags: [String], environment: String, reason: String)
        throws
    {
        let (report, run) = try Self.run(flags, environment)
        #expect(run.isSuccess)
        // In 120 columns the sentence is broken.
        let text = run.errorText.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        let parts = text.components(separatedBy: "── memtrack ──")
        try #require(parts.count == 2, "\(run.errorText)")
        for part in parts {
            #expect(part.contains("is not counted: " + reason) && part.contains("! idle"), "\(run.errorText)")
        }
        #expect(report.notes.filter { $0.hasPrefix("idle") && $0.contains(reason) }.count == 1)
        let process = try #require(report.processes.first { $0.executable.contains("/idle") })
        #expect(process.totals == nil && !process.running, "\(process)")
    }

    /// Whoever is counted, or is not meant to be, is not named.
    @Test(
        arguments: [
            ([], "same", []), ([], "cleaned", ["--follow-exec", "force"]), ([], "cleaned", ["--no-children"]),
            (["-static"], "same", ["--follow-exec", "off"]),
        ] as [([String], String, [String])]) func isNotNamed(
            flags: [String], environment: String, options: [String]
        ) throws
    {
        let (report, run) = try Self.run(flags, environment, options)
        #expect(run.isSuccess && report.notes.isEmpty, "\(report.notes)")
        #expect(!run.errorText.contains("is not counted"), "\(run.errorText)")
    }
}
