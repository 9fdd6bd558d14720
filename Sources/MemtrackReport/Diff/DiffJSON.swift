// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
public import MemtrackProfile
internal import MemtrackRegion

/// A diff for programs: all rows, in the order of the text.
public enum DiffJSON {
    public static func render(
        _ diff: ProfileDiff, types: TypeDiffResult, old: [LoadedProfile], new: [LoadedProfile],
        options: DiffOptions
    ) throws(ReportError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            let document = Document(
                by: diff.unit.rawValue, old: old.map(Source.init), new: new.map(Source.init),
                notes: DiffNotes.sentences(old, new),
                totals: changes(diff.totals),
                rows: diff.ranked(by: options.figure).map(Row.init),
                limits: options.limits.map(\.text),
                offenders: diff.offenders(options.limits, chosen: options.figure).map(Offender.init),
                suspects: diff.suspects(options.limits, chosen: options.figure).map(Offender.init),
                objects: (try? types.get()).map(Objects.init))
            return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }

    private struct Document: Encodable {
        var version = 1
        var by: String
        var old: [Source]
        var new: [Source]
        /// What must be known before any figure.
        var notes: [String]
        var totals: [String: Change]
        var rows: [Row]
        var limits: [String]
        var offenders: [Offender]
        /// Beyond a limit, but within noise.
        var suspects: [Offender]
        /// null where a side has no types.
        @OrNull var objects: Objects?
    }

    private struct Objects: Encodable {
        struct Row: Encodable {
            @OrNull var runtime: String?
            /// Empty for all that is no object.
            var name: String
            var kind: String
            var count: Change
            /// With owned memory.
            var bytes: Change
            var sites: [JSONTypeDetails.Site]
        }

        var oldElapsedSeconds: Double
        var newElapsedSeconds: Double
        var count: Change
        var bytes: Change
        var types: [Row]

        init(_ diff: TypeDiff) {
            oldElapsedSeconds = diff.oldElapsed
            newElapsedSeconds = diff.newElapsed
            count = Change(diff.count)
            bytes = Change(diff.bytes)
            types = diff.rows.map { row in
                Row(
                    runtime: row.runtimeName, name: row.name, kind: row.kind.text,
                    count: Change(row.count), bytes: Change(row.bytes),
                    sites: row.sites.map(JSONTypeDetails.Site.init))
            }
        }
    }

    private struct Source: Encodable {
        var name: String
        var program: String
        var host: String
        var buildId: String

        init(_ loaded: LoadedProfile) {
            name = loaded.name
            program = loaded.summary.program
            host = loaded.summary.host
            buildId = loaded.buildID
        }
    }

    private struct Change: Encodable {
        var old: Int64
        var new: Int64
        var change: Int64
        /// Of the old value; null where that is 0.
        @OrNull var percent: Double?
        var spread: Int64
        var noise: Bool
        /// `runs` or `peak`; null where the change is none.
        @OrNull var noiseCause: String?

        init(_ change: DiffChange) {
            old = change.old
            new = change.new
            self.change = change.change
            percent = change.old == 0 ? nil : Double(change.change) / Double(change.old.magnitude) * 100
            spread = change.spread
            noise = change.isNoise
            noiseCause = change.noise?.rawValue
        }
    }

    private struct Row: Encodable {
        @OrNull var function: String?
        @OrNull var file: String?
        @OrNull var line: Int?
        @OrNull var module: String?
        @OrNull var minimumBytes: UInt64?
        var callers: [JSONFrame]
        /// `both`, `new` or `gone`.
        var kind: String
        var moved: Bool
        var inlined: [String]
        var figures: [String: Change]

        init(_ row: DiffRow) {
            callers = []
            switch row.label {
            case .frame(let frame, let above):
                function = frame.function
                file = frame.file
                line = frame.line
                module = frame.module
                callers = above.map(JSONFrame.init)
            case .module(let path): module = path
            case .sizeClass(let sizeClass): minimumBytes = SizeClass.range(sizeClass).lowerBound
            }
            kind = row.kind.text
            moved = row.isMoved
            inlined = row.inlined
            figures = changes(row.changes)
        }
    }

    private struct Offender: Encodable {
        /// null for the total.
        @OrNull var row: Row?
        var figure: String
        var limit: String
        var change: Change

        init(_ offender: DiffOffender) {
            row = offender.row.map(Row.init)
            figure = offender.type.rawValue
            limit = offender.limit.text
            change = Change(offender.change)
        }
    }

    private static func changes(_ all: [SampleType: DiffChange]) -> [String: Change] {
        Dictionary(uniqueKeysWithValues: all.map { ($0.key.rawValue, Change($0.value)) })
    }
}

extension DiffRow.Kind {
    fileprivate var text: String {
        switch self {
        case .both: "both"
        case .new: "new"
        case .gone: "gone"
        }
    }
}
