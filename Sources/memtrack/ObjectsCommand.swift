// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct ObjectsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "objects",
        abstract: "Print what the live memory of a running process is: its objects by type.",
        discussion: """
            For CPython (3.8 to 3.13), C++ classes with virtual functions and Swift classes; other blocks stand under \
            the function that allocated them. The process runs under memtrack-preload or with the library in LD_PRELOAD, \
            and goes on while it is read. Needs the right to trace it: run as its parent, as root, or with \
            kernel.yama.ptrace_scope = 0.

            EXAMPLES:
              memtrack objects --pid 4711
              memtrack objects --pid 4711 --type 'Cache|dict' -l 20
              memtrack objects --pid 4711 --json
            """)

    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: .init("The process; memtrack list shows which there are.", valueName: "pid"))
    var pid: Int32?

    @Option(help: .init("A region file of a process that runs.", valueName: "file"))
    var region: String?

    @Option(help: .init("Show only types whose name matches.", valueName: "regex"))
    var type: String?

    @Option(help: .init("Order of the types: live (size) or count.", valueName: "order"))
    var sort: String = "live"

    @Option(
        name: [.customShort("l"), .long], parsing: .unconditional,
        help: .init("Rows of the table.", valueName: "n"))
    var objectLimit: Int = 20

    @Option(help: .init("Take functions that match for allocation wrappers too.", valueName: "regex"))
    var allocFn: [String] = []

    @Flag(help: "Print JSON: all types with all their sites.")
    var json = false

    @Flag(help: "Print CSV: all types.")
    var csv = false

    func validate() throws {
        guard (pid == nil) != (region == nil) else {
            throw ValidationError("give either --pid N or --region FILE; memtrack list shows what there is")
        }
        if let pid, pid <= 0 { throw ValidationError("\(pid) is no PID; memtrack list shows what there is") }
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        guard !(json && csv) else { throw ValidationError("give either --json or --csv") }
        guard sort == "live" || sort == "count" else {
            throw ValidationError("'\(sort)' is no order; give live or count")
        }
    }

    func run() throws {
        let filter = try type.map { try TypeFilter($0) }
        let wrappers = WrapperMatcher(
            userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
        let path: String
        if let region { path = region } else { path = try RegionCatalog().newest(pid: pid ?? 0).path }
        let screen = Screen.standardOutput(environment: Variables.current)
        let progress = ProgressLine(isTerminal: screen.isTerminal && !json && !csv)
        let table = try ObjectsReport.types(ofRegionAt: path, wrappers: wrappers, progress: progress.update)
        // A table without a single process in it is no answer.
        if table.processes == 0, let problem = table.problems.first { throw ObjectsFailure(text: problem) }
        var options = TypeTableText.Options(
            limit: min(objectLimit, 100_000), order: sort == "count" ? .count : .live, filter: filter)
        options.sites = filter == nil ? 2 : 5
        options.showsChange = false
        if json {
            try screen.write(try ReportJSON.types(table))
        } else if csv {
            try screen.write(TypesCSV.render(table.sorted(by: options.order)))
        } else {
            try screen.write(TypeTableText(types: table, options: options).render(layout: screen.layout))
        }
    }
}

private struct ObjectsFailure: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}
