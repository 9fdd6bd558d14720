// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Print the final tables for one process, running or dead.",
        discussion: """
            For a program started with LD_PRELOAD alone, a daemon that outlived its launcher, or what a launcher \
            that was killed left behind. memtrack list shows the PIDs and the files.
            """)

    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: .init("A process that runs, or the last one that had this PID.", valueName: "pid"))
    var pid: Int32?

    @Option(help: .init("A region file.", valueName: "file"))
    var region: String?

    @Option(
        name: [.customShort("l"), .long], parsing: .unconditional,
        help: .init("Rows of each table.", valueName: "n"))
    var objectLimit: Int = 10

    @Option(help: .init("Show only sites whose function or module matches.", valueName: "regex"))
    var filter: String?

    @Option(help: .init("Take functions that match for allocation wrappers too.", valueName: "regex"))
    var allocFn: [String] = []

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (pid == nil) != (region == nil) else {
            throw ValidationError("give either --pid N or --region FILE; memtrack list shows what there is")
        }
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        if let pid, pid <= 0 { throw ValidationError("\(pid) is no PID; memtrack list shows what there is") }
    }

    func run() throws {
        let filter = try filter.map { try SiteFilter($0) }
        let wrappers = WrapperMatcher(
            userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
        let path: String
        if let region {
            path = region
        } else {
            path = try RegionCatalog().newest(pid: pid ?? 0).path
        }
        let screen = Screen.standardOutput(environment: Variables.current)
        let progress = ProgressLine(isTerminal: screen.isTerminal && !json)
        let summary = try RegionReport.summary(
            ofRegionAt: path, wrappers: wrappers, progress: progress.update)
        if json {
            try screen.write(try ReportJSON.report(summary))
        } else {
            var options = FinalReport.Options(limit: min(objectLimit, 100_000), filter: filter)
            options.jsonHint = "--json prints every site with all its stacks."
            try screen.write(FinalReport.render(summary, layout: screen.layout, options: options))
        }
    }
}
