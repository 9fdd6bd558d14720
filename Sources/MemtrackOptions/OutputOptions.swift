// SPDX-License-Identifier: Apache-2.0
public import ArgumentParser
public import MemtrackReport
public import MemtrackSession

/// Where a monitor's reports go, and what is kept.
public struct OutputOptions: ParsableArguments {
    @Option(help: .init("Write the reports to a file instead of the terminal.", valueName: "file"))
    public var report: String?

    @Option(help: .init("Write the final report to a file as JSON.", valueName: "file"))
    var json: String?

    @Option(
        help: .init(
            """
            Save the final profile to a file that memtrack and pprof read. %p is the PID, %h the host, %e the \
            program, %t the start in seconds since 1970; with %c, the number of the checkpoint, one file for each. \
            Without this, it goes to the history.
            """, valueName: "file"))
    var output: String?

    @Option(help: .init("Directory of the history files.", valueName: "dir"))
    var historyDir: String = "data/memory_diagnostics"

    @Flag(help: "Write no history files.")
    var noHistory = false

    @Flag(name: .shortAndLong, help: "Print no reports.")
    var quiet = false

    public init() {}

    /// - Parameter naming: of a profile in the history's directory.
    public func apply(
        to options: inout Monitor.Options, naming: (String) -> ProfileNaming
    ) throws {
        try refuseOneFileForTwo()
        options.isQuiet = quiet
        options.historyDirectory = noHistory ? nil : historyDir
        options.jsonPath = json
        if let output {
            guard let named = ProfileNaming(output) else {
                throw ValidationError(
                    "--output '\(output)' has a % that means nothing; use %p, %h, %e, %t or %c, and %% for a percent sign"
                )
            }
            options.profileNaming = named
            options.profileIsAskedFor = true
        } else if !noHistory {
            options.profileNaming = naming(historyDir)
        }
    }

    /// The one that is written last would be all that is left.
    private func refuseOneFileForTwo() throws {
        let named = [("--report", report), ("--json", json), ("--output", output)]
        let files = named + [("the companion of --output", output.map(SavedProfile.companionPath(of:)))]
        for (at, (name, path)) in files.enumerated() {
            guard let path, let other = files[..<at].first(where: { $0.1 == path }) else { continue }
            throw ValidationError("\(other.0) and \(name) are one file, \(path); give them different names")
        }
    }

    /// Where reports go; what is wrong with the file asked for is complained of, and the other place has them.
    public func screen(or other: Screen, named name: String, complain: (String) -> Void) -> Screen {
        guard let report else { return other }
        do throws(SessionError) {
            return try .file(report)
        } catch {
            complain("warning: \(error); reports go to \(name)")
            return other
        }
    }
}
