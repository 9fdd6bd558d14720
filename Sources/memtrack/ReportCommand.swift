// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Show a saved profile, or one process, running or dead.",
        discussion: """
            Without --view, all the tables of a final report. A region is what a program leaves that was started with \
            LD_PRELOAD alone, a daemon that outlived its launcher, or a launcher that was killed; memtrack list shows \
            the PIDs and the files.

            EXAMPLES:
              memtrack report bot.pb.gz                          the tables again
              memtrack report bot.pb.gz --view tree --peak       what made it large, from main down
              memtrack report bot.pb.gz --view callers --filter parse --min-share 2
              memtrack report --pid 4711 --output now.pb.gz      save a profile of a running program
              memtrack report --pid 4711 --objects --output now.pb.gz     ... with its object types
              memtrack report bot.pb.gz --type 'Cache|dict'      some object types, with more of their sites
              memtrack report bot.pb.gz --view sites --csv       for a spreadsheet
            """)

    @OptionGroup var source: SourceOptions

    @Option(help: .init("One of: \(Self.views).", valueName: "view"))
    var view: String?

    @Option(
        name: [.customShort("l", allowingJoined: true), .long], parsing: .unconditional,
        help: .init(
            "Rows of each table, or lines of a tree (default: 10; 20 with --view, 100 for trees).",
            valueName: "n"))
    var objectLimit: Int?

    @Option(
        help: .init("Order of rows: live, peak, count, allocated or temporary.", valueName: "order"))
    var sort: String?

    @Flag(help: "Look at what was live at the peak: the same as --sort peak.")
    var peak = false

    @Flag(help: "Look at temporary allocations: the same as --sort temporary.")
    var temporary = false

    @Option(help: .init("Only sites whose function, file or module matches.", valueName: "regex"))
    var filter: String?

    @Flag(help: "Of a process that runs, look at its objects by type, too.")
    var objects = false

    @Option(help: .init("Show only object types whose name matches.", valueName: "regex"))
    var type: String?

    @Option(help: .init("No sites whose function, file or module matches.", valueName: "regex"))
    var exclude: String?

    @Option(help: .init("Only stacks with a frame that matches.", valueName: "regex"))
    var focus: String?

    @Option(
        parsing: .unconditional,
        help: .init(
            "Leave out what is below so many percent of the whole (default: 1 for trees).",
            valueName: "percent"))
    var minShare: Double?

    @Flag(help: "Show all frames of trees: start-up code, wrappers, recursion and chains.")
    var noCollapse = false

    @Flag(help: "Print JSON: everything, or the rows of --view.")
    var json = false

    @Flag(help: "Print CSV: the rows of --view, or of the sites.")
    var csv = false

    @Option(help: .init("Save the profile to a file instead of printing it.", valueName: "file"))
    var output: String?

    private static var views: String { ReportView.allCases.map(\.rawValue).joined(separator: ", ") }

    private static let orders: [(name: String, type: SampleType)] = [
        ("live", .inuseSpace), ("peak", .peakSpace), ("count", .allocObjects), ("allocated", .allocSpace),
        ("temporary", .temporaryObjects),
    ]

    func validate() throws {
        if let view, ReportView(rawValue: view) == nil {
            throw ValidationError("'\(view)' is no view; give one of: \(Self.views)")
        }
        if let objectLimit, objectLimit < 0 {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        if let minShare, !(0...100).contains(minShare) {
            throw ValidationError("--min-share \(minShare) is no share; give a percentage from 0 to 100")
        }
        guard [json, csv, output != nil].filter({ $0 }).count <= 1 else {
            throw ValidationError("--json, --csv and --output contradict each other; give one of them")
        }
        try source.validate(objects: objects)
        // A saved profile has both, whatever of the sites is picked.
        if type != nil || objects && output == nil {
            let isOfSites =
                view != nil || csv || peak || temporary || noCollapse || sort != nil || minShare != nil
                || exclude != nil || focus != nil
            guard !isOfSites else {
                let (option, source) = type != nil ? ("--type", "FILE") : ("--objects", "--pid N")
                throw ValidationError(
                    "\(option) is for the report as a whole; memtrack objects \(source) has the types alone, also as CSV"
                )
            }
        }
        _ = try figure()
    }

    /// nil where none was asked for.
    private func figure() throws -> SampleType? {
        let asked = [sort, peak ? "peak" : nil, temporary ? "temporary" : nil].compactMap { $0 }
        guard asked.count <= 1 else {
            throw ValidationError("--sort, --peak and --temporary contradict each other; give one of them")
        }
        guard let name = asked.first else { return nil }
        guard let order = Self.orders.first(where: { $0.name == name }) else {
            let known = Self.orders.map(\.name).joined(separator: ", ")
            throw ValidationError("'\(name)' is no order; give one of: \(known)")
        }
        return order.type
    }

    private func selection() throws -> ProfileSelection {
        ProfileSelection(
            filter: try filter.map { try TextPattern($0, option: "--filter") },
            exclude: try exclude.map { try TextPattern($0, option: "--exclude") },
            focus: try focus.map { try TextPattern($0, option: "--focus") })
    }

    func run() throws {
        let selection = try selection()
        let typeFilter = try type.map { try TypeFilter($0) }
        let screen = Screen.standardOutput(environment: Variables.current)
        var loaded = try source.load(showsProgress: screen.isTerminal && !json && !csv, withTypes: objects)
        if let output {
            loaded.summary.profile = selection.apply(to: loaded.profile)
            loaded = loaded.selectingTypes(typeFilter)
            return try SavedProfile.write(loaded, to: output)
        }
        // An option that only views have asks for one.
        let asksForView =
            csv || peak || temporary || noCollapse || sort != nil || exclude != nil || focus != nil
            || minShare != nil
        let name = view ?? (asksForView ? ReportView.sites.rawValue : nil)
        guard let view = name.flatMap(ReportView.init(rawValue:)) else {
            return try printAll(loaded, typeFilter, screen)
        }
        let isTree = view == .tree || view == .callers
        var options = ViewOptions()
        options.figure = try figure() ?? .preferred
        options.limit = min(objectLimit ?? (isTree ? 100 : 20), 100_000)
        options.minimumShare = (minShare ?? (isTree ? 1 : 0)) / 100
        options.selection = selection
        options.collapses = !noCollapse
        if json {
            try screen.write(try view.records(loaded, options: options).json())
        } else if csv {
            try screen.write(view.records(loaded, options: options).csv)
        } else {
            try screen.write(view.text(loaded, layout: screen.layout, options: options))
        }
    }

    private func printAll(_ loaded: LoadedProfile, _ typeFilter: TypeFilter?, _ screen: Screen) throws {
        let siteFilter = try filter.map { try SiteFilter($0) }
        if json {
            return try screen.write(
                try ReportJSON.report(loaded.showingTypes(typeFilter).summary, filter: siteFilter))
        }
        var options = FinalReport.Options(limit: min(objectLimit ?? 10, 100_000), filter: siteFilter)
        options.types.limit = options.limit
        options.types.filter = typeFilter
        if type != nil { options.types.sites = 5 }
        options.jsonHint = "--json prints every site with all its stacks; --view tree shows who calls whom."
        try screen.write(FinalReport.render(loaded.summary, layout: screen.layout, options: options))
    }
}
