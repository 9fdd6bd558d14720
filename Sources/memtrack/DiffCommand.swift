// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Compare two builds, or two moments of one run.",
        usage: "memtrack diff OLD NEW [OPTIONS]\nmemtrack diff OLD… --against NEW… [OPTIONS]",
        discussion: """
            What is compared is call sites, by function, file and module name, never by address or line: code may move \
            within its file, and a function to another file or module. With several runs a side, medians are compared, \
            and what runs of one build differ by is noise. Where both sides were run with -o, the object types that grew \
            come after the sites.

            EXAMPLES:
              memtrack diff old.pb.gz new.pb.gz
              memtrack diff old.pb.gz new.pb.gz --fail-above 5% --fail-above 100allocs
              memtrack diff a1.pb.gz a2.pb.gz a3.pb.gz --against b1.pb.gz b2.pb.gz b3.pb.gz
              memtrack diff bot.1.pb.gz bot.9.pb.gz --sort live     two checkpoints
              memtrack diff old.pb.gz new.pb.gz --type 'Cache|dict'  objects of some types
              memtrack diff old.pb.gz new.pb.gz --markdown > comment.md
              memtrack diff old.pb.gz new.pb.gz --format html --output diff.html

            EXIT STATUS: 0; 1 where something has grown beyond --fail-above; 2 where a file cannot be read or written; 64 for \
            a wrong command line.
            """)

    @Argument(help: .init("Saved profiles, or regions.", valueName: "file"))
    var files: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: .init("The runs of the new build, where there are several a side.", valueName: "file"))
    var against: [String] = []

    @Option(help: .init("One row for each: \(Self.units).", valueName: "unit"))
    var by: String = DiffUnit.site.rawValue

    @Option(
        help: .init(
            "Sort and judge by live, peak, count or allocated (default: what changed most).",
            valueName: "figure"))
    var sort: String?

    @Option(
        help: .init(
            """
            Exit with 1 if the total or a row has grown by more: 5% (of the old total; of live, peak, count and \
            allocated), 64K (bytes live or at the peak), 100allocs. May be repeated.
            """, valueName: "limit"))
    var failAbove: [String] = []

    @Option(
        name: [.customShort("l", allowingJoined: true), .long], parsing: .unconditional,
        help: .init("Rows.", valueName: "n"))
    var objectLimit: Int = 20

    @Option(help: .init("Only sites whose function, file or module matches.", valueName: "regex"))
    var filter: String?

    @Option(help: .init("No sites whose function, file or module matches.", valueName: "regex"))
    var exclude: String?

    @Option(help: .init("Only stacks with a frame that matches.", valueName: "regex"))
    var focus: String?

    @Option(help: .init("Only object types whose name matches.", valueName: "regex"))
    var type: String?

    @Option(help: .init("Take functions that match for allocation wrappers too.", valueName: "regex"))
    var allocFn: [String] = []

    @Flag(help: "Print JSON: all rows.")
    var json = false

    @Flag(help: "Print Markdown, for a comment on a pull request.")
    var markdown = false

    @Option(
        help: .init("One of: \(Self.formats); html is one page with a flame graph.", valueName: "format"))
    var format: String?

    @Option(
        name: .shortAndLong, help: .init("Write to a file instead of standard output.", valueName: "file"))
    var output: String?

    private enum Format: String, CaseIterable {
        case text, json, markdown, html
    }

    private static var formats: String { Format.allCases.map(\.rawValue).joined(separator: ", ") }

    private static var units: String { DiffUnit.allCases.map(\.rawValue).joined(separator: ", ") }

    private static let figures: [(name: String, type: SampleType)] = [
        ("live", .inuseSpace), ("peak", .peakSpace), ("count", .allocObjects), ("allocated", .allocSpace),
    ]

    func validate() throws {
        guard against.isEmpty ? files.count == 2 : !files.isEmpty else {
            throw ValidationError(
                "give OLD and NEW, or the runs of one build --against those of another; see memtrack diff --help"
            )
        }
        guard DiffUnit(rawValue: by) != nil else {
            throw ValidationError("'\(by)' is no unit; give one of: \(Self.units)")
        }
        guard [json, markdown, format != nil].filter({ $0 }).count < 2 else {
            throw ValidationError("--json, --markdown and --format contradict each other; give one of them")
        }
        if let format, Format(rawValue: format) == nil {
            throw ValidationError("'\(format)' is no format; give one of: \(Self.formats)")
        }
        guard
            format != Format.html.rawValue
                || (against.isEmpty ? files.count == 2 : files.count + against.count == 2)
        else {
            throw ValidationError("a page compares two profiles; memtrack merge makes one of several")
        }
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        _ = try options()
    }

    private func options() throws -> DiffOptions {
        var options = DiffOptions()
        options.limit = min(objectLimit, 100_000)
        if let sort {
            guard let figure = Self.figures.first(where: { $0.name == sort }) else {
                let known = Self.figures.map(\.name).joined(separator: ", ")
                throw ValidationError("'\(sort)' is no figure; give one of: \(known)")
            }
            options.figure = figure.type
        }
        options.limits = try failAbove.map { text in
            guard let limit = DiffLimit(text) else {
                throw ValidationError("'\(text)' is no limit; give a limit such as 5%, 64K or 100allocs")
            }
            return limit
        }
        return options
    }

    func run() throws {
        var options = try options()
        options.typeFilter = try type.map { try TypeFilter($0) }
        let selection = ProfileSelection(
            filter: try filter.map { try TextPattern($0, option: "--filter") },
            exclude: try exclude.map { try TextPattern($0, option: "--exclude") },
            focus: try focus.map { try TextPattern($0, option: "--focus") })
        let wrappers = WrapperMatcher(
            userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
        func load(_ paths: [String]) throws -> [LoadedProfile] {
            try paths.map { path in
                var loaded = try ProfileSource.file(path).load(wrappers: wrappers)
                loaded.summary.profile = selection.apply(to: loaded.profile)
                return loaded
            }
        }
        let old = try load(against.isEmpty ? Array(files.prefix(1)) : files)
        let new = try load(against.isEmpty ? Array(files.suffix(1)) : against)
        let diff = ProfileDiff(old: old, new: new, by: DiffUnit(rawValue: by) ?? .site)
        let types = TypeDiffResult { () throws(TypeDiff.Absence) in
            try TypeDiff(old: old, new: new, filter: options.typeFilter)
        }
        let screen = Screen.standardOutput(environment: Variables.current)
        let title = DiffTitle(old, new)
        let bytes: [UInt8]
        switch format.flatMap(Format.init(rawValue:)) ?? (json ? .json : (markdown ? .markdown : .text)) {
        case .json: bytes = try DiffJSON.render(diff, types: types, old: old, new: new, options: options)
        case .markdown: bytes = Array(DiffMarkdown.render(diff, types: types, title, options: options).utf8)
        case .html:
            var export = ExportOptions()
            export.sampleType = options.figure ?? .preferred
            export.base = old[0].showingTypes(options.typeFilter)
            bytes = try HTMLExporter().export(new[0].showingTypes(options.typeFilter), options: export)
        case .text:
            // A file is no terminal: neither its width nor its colours.
            let layout = output == nil ? screen.layout : .file
            bytes = Array(DiffText.render(diff, types: types, title, layout: layout, options: options).utf8)
        }
        if let output {
            try OutputFile.replace(output, with: bytes)
        } else {
            try screen.write(bytes)
        }
        if !diff.offenders(options.limits, chosen: options.figure).isEmpty { throw ExitCode(1) }
    }
}
