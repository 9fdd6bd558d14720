// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackObjects
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct ObjectsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "objects",
        abstract: "Print what live memory is: objects by type, of a running process or a saved profile.",
        discussion: """
            For CPython (3.8 to 3.13), C++ classes with virtual functions and Swift classes; other blocks stand under \
            the function that allocated them. The process runs under memtrack-preload or with the library in LD_PRELOAD, \
            and goes on while it is read. Needs the right to trace it: run as its parent, as root, or with \
            kernel.yama.ptrace_scope = 0. A profile of a run with --objects has the types of the last look.

            EXAMPLES:
              memtrack objects --pid 4711
              memtrack objects --pid 4711 --type 'Cache|dict' -l 20
              memtrack objects --pid 4711 --json
              memtrack objects bot.pb.gz --sort growth
            """)

    @OptionGroup var source: SourceOptions

    @Option(help: .init("Show only types whose name matches.", valueName: "regex"))
    var type: String?

    @Option(
        help: .init(
            "Order of the types: live (size) or count; of a saved profile also growth.", valueName: "order"))
    var sort: String = "live"

    @Option(
        name: [.customShort("l", allowingJoined: true), .long], parsing: .unconditional,
        help: .init("Rows of the table.", valueName: "n"))
    var objectLimit: Int = 20

    @Flag(help: "Print JSON: all types, or those that match, with all their sites.")
    var json = false

    @Flag(help: "Print CSV: all types, or those that match.")
    var csv = false

    func validate() throws {
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        guard !(json && csv) else { throw ValidationError("give either --json or --csv") }
        guard let order, order != .growth || source.file != nil else {
            throw ValidationError(
                "'\(sort)' is no order here; give live or count, or growth for a saved profile")
        }
    }

    private var order: SiteOrder? {
        let order = SiteOrder(rawValue: sort)
        return order == .live || order == .count || order == .growth ? order : nil
    }

    func run() throws {
        let filter = try type.map { try TypeFilter($0) }
        let screen = Screen.standardOutput(environment: Variables.current)
        let loaded = try source.load(
            showsProgress: screen.isTerminal && !json && !csv, withTypes: source.file == nil)
        guard let table = loaded.summary.types else { throw ReportError.noTypes(loaded.name) }
        // A table without a single process in it is no answer.
        if table.processes == 0, let problem = table.problems.first { throw ObjectsFailure(text: problem) }
        if order == .growth, table.changeSince == nil {
            throw ValidationError(
                "\(loaded.name) has one look at its objects, so nothing is known of growth; give --sort live or count"
            )
        }
        var options = TypeTableText.Options(
            limit: min(objectLimit, 100_000), order: order ?? .live, filter: filter)
        options.sites = filter == nil ? 2 : 5
        options.showsChange = table.changeSince != nil
        if json {
            try screen.write(try ReportJSON.types(table.showing(filter)))
        } else if csv {
            try screen.write(TypesCSVExporter.text(table.showing(filter).sorted(by: options.order)))
        } else {
            try screen.write(
                TypeTableText(types: table, options: options).render(
                    layout: screen.layout, asOf: source.file == nil ? nil : table.elapsed))
        }
    }
}

private struct ObjectsFailure: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}
