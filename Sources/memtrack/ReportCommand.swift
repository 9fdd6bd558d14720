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

    @Option(name: .shortAndLong, help: "A process that runs, or the last one that had this PID.")
    var pid: Int32?

    @Option(help: "A region file.")
    var region: String?

    @Option(name: [.customShort("l"), .long], help: "Rows of each table.")
    var objectLimit: Int = 10

    @Option(help: "Show only sites whose function or module matches REGEX.")
    var filter: String?

    @Option(help: "Take functions that match REGEX for allocation wrappers too.")
    var allocFn: [String] = []

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (pid == nil) != (region == nil) else {
            throw ValidationError("give either --pid N or --region FILE; memtrack list shows what there is")
        }
    }

    func run() throws {
        let filter = try filter.map { try SiteFilter($0) }
        let wrappers = WrapperMatcher(userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
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
            screen.show(try ReportJSON.report(summary) + Array("\n".utf8))
        } else {
            let options = FinalReport.Options(limit: max(0, objectLimit), filter: filter)
            screen.show(FinalReport.render(summary, layout: screen.layout, options: options))
        }
    }
}
