// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackProfileFile
import MemtrackReport
import MemtrackSession

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a profile in the format of another tool.",
        discussion: """
            EXAMPLES:
              memtrack export bot.pb.gz --format csv --output bot.csv
              memtrack export bot.pb.gz --format html --output bot.html
              memtrack export bot.pb.gz --format folded --sample-type peak_space | flamegraph.pl > bot.svg
              memtrack export --pid 4711 --format json | jq .totals
              memtrack export --pid 4711 --objects --format csv-types
              memtrack export bot.pb.gz --format jsonl-types --type 'Cache|dict' --label version=1.4
            """)

    @OptionGroup var source: SourceOptions

    @Flag(help: "Of a process that runs, look at its objects by type, too.")
    var objects = false

    @Option(
        help: .init(
            "Only object types whose name matches: for \(Self.names(Self.typeFormats)).",
            valueName: "regex"))
    var type: String?

    @Option(name: .shortAndLong, help: .init("One of: \(Self.known).", valueName: "format"))
    var format: String

    @Option(
        name: .shortAndLong, help: .init("Write to a file instead of standard output.", valueName: "file"))
    var output: String?

    @Option(
        help: .init(
            "The figure, for \(Self.names(Self.figureFormats)): \(Self.types) (default: \(SampleType.preferred.rawValue)).",
            valueName: "type"))
    var sampleType: String?

    @Option(
        help: .init(
            "For \(Self.names(Self.labelFormats)): a label of every row; may be given again.",
            valueName: "name=value"))
    var label: [String] = []

    private static func exporter(_ format: ExportFormat) -> any ProfileExporter {
        switch format {
        case .pprof: PprofExporter()
        case .json: JSONExporter()
        case .csv: CSVExporter()
        case .folded: FoldedExporter()
        case .speedscope: SpeedscopeExporter()
        case .massif: MassifExporter()
        case .dhat: DHATExporter()
        case .csvTypes: TypesCSVExporter()
        case .jsonl: JSONLinesExporter()
        case .jsonlTypes: TypesJSONLinesExporter()
        case .html: HTMLExporter()
        }
    }

    /// Those that have object types.
    private static let typeFormats: [ExportFormat] = [.csvTypes, .jsonlTypes, .json, .html]

    /// Those that have room for one figure, or begin with one.
    private static let figureFormats: [ExportFormat] = [.folded, .speedscope, .html]
    private static let labelFormats: [ExportFormat] = [.jsonl, .jsonlTypes]

    private static func names(_ formats: [ExportFormat]) -> String {
        formats.map(\.rawValue).joined(separator: ", ")
    }

    private static var known: String { names(ExportFormat.allCases) }

    private static var types: String { SampleType.allCases.map(\.rawValue).joined(separator: ", ") }

    private static func label(_ text: String) throws -> ExportLabel {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            throw ValidationError("'\(text)' is no label; write --label version=1.4")
        }
        return ExportLabel(name: String(parts[0]), value: String(parts[1]))
    }

    func validate() throws {
        try source.validate(objects: objects)
        guard let format = ExportFormat(rawValue: format) else {
            throw ValidationError("'\(format)' is no format; give one of: \(Self.known)")
        }
        // What would have no effect is a mistake, and known to be one only here.
        let needs: [(option: String, isGiven: Bool, what: String, formats: [ExportFormat])] = [
            ("--type", type != nil, "object types", Self.typeFormats),
            ("--objects", objects, "object types", Self.typeFormats),
            ("--sample-type", sampleType != nil, "choice of a figure", Self.figureFormats),
            ("--label", !label.isEmpty, "labels", Self.labelFormats),
        ]
        for need in needs where need.isGiven && !need.formats.contains(format) {
            throw ValidationError(
                "\(need.option): '\(format.rawValue)' has no \(need.what); give one of: \(Self.names(need.formats))"
            )
        }
    }

    func run() throws {
        guard let format = ExportFormat(rawValue: self.format) else { return }  // never: see validate
        var options = ExportOptions()
        if let sampleType {
            guard let figure = SampleType(rawValue: sampleType) else {
                throw ValidationError("'\(sampleType)' is no sample type; give one of: \(Self.types)")
            }
            options.sampleType = figure
        }
        let filter = try type.map { try TypeFilter($0) }
        if let output, let file = source.file, output == ProfileFile.companionPath(of: file) {
            throw ValidationError("\(output) is a part of the profile \(file); give another --output")
        }
        options.labels = try label.map(Self.label)
        let screen = Screen.standardOutput(environment: Variables.current)
        let profile = try source.load(showsProgress: screen.isTerminal, withTypes: objects)
        let bytes = try Self.exporter(format).export(profile.showingTypes(filter), options: options)
        if let output {
            try OutputFile.replace(output, with: bytes)
        } else {
            try screen.write(bytes)
        }
    }
}
