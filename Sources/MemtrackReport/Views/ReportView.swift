// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// The ways to look at a profile: what `memtrack report --view` knows.
public enum ReportView: String, Sendable, CaseIterable {
    /// Where allocations are made.
    case sites
    /// From the outermost function down.
    case tree
    /// From the call sites up.
    case callers
    /// Each function by itself, and with all that it calls.
    case functions
    case classes
    case modules
    case timeline
}

public struct ViewOptions: Sendable {
    /// What rows are sorted by, and shares are of.
    public var figure = SampleType.preferred
    /// Rows, or lines of a tree.
    public var limit = 20
    /// Rows below this part of the whole are added up, 0 to 1.
    public var minimumShare = 0.0
    public var selection = ProfileSelection()
    public var collapses = true
    public var callers = 3

    public init() {}
}

extension ReportView {
    public func text(_ loaded: LoadedProfile, layout: Layout, options: ViewOptions) -> String {
        var lines = TextLines(layout)
        let picked = options.selection.apply(to: loaded.profile)
        writeHead(loaded, options, to: &lines)
        let whole = loaded.profile.totals
        switch self {
        case .sites, .functions, .classes, .modules:
            FlatView(rows: rows(picked, options), whole: whole, options: options, kind: self)
                .write(to: &lines)
        case .tree:
            TreeView(CallTree(picked, .topDown, collapses: options.collapses), whole, options)
                .write(to: &lines)
        case .callers:
            TreeView(CallTree(picked, .bottomUp, collapses: options.collapses), whole, options)
                .write(to: &lines)
        case .timeline: TimelineView(session: loaded.summary).write(to: &lines)
        }
        return lines.text
    }

    /// One row an item, for CSV and JSON: everything, in the order of the text.
    public func records(_ loaded: LoadedProfile, options: ViewOptions) -> Records {
        let picked = options.selection.apply(to: loaded.profile)
        switch self {
        case .sites, .functions, .classes, .modules:
            return FlatView(
                rows: rows(picked, options), whole: loaded.profile.totals, options: options, kind: self
            ).records
        case .tree:
            return TreeView(
                CallTree(picked, .topDown, collapses: options.collapses), loaded.profile.totals, options
            ).records
        case .callers:
            return TreeView(
                CallTree(picked, .bottomUp, collapses: options.collapses), loaded.profile.totals, options
            ).records
        case .timeline: return TimelineView(session: loaded.summary).records
        }
    }

    private func rows(_ profile: Profile, _ options: ViewOptions) -> [FlatView.Row] {
        switch self {
        case .functions:
            FunctionSum.all(of: profile, collapses: options.collapses).map {
                FlatView.Row(frame: $0.frame, counters: $0.total, own: $0.own)
            }
        case .classes:
            profile.sizeClasses.map {
                FlatView.Row(
                    label: SizeClassTable.label($0.sizeClass), counters: $0.counters, sizeClass: $0.sizeClass)
            }
        case .modules: FlatView.Row.modules(profile)
        default:
            profile.sites.map { site in
                let stack = site.stacks.max {
                    options.figure.value(of: $0.counters) < options.figure.value(of: $1.counters)
                }
                return FlatView.Row(
                    frame: site.frame, counters: site.counters,
                    callers: stack.map { profile.table.callers(of: $0.stack, limit: options.callers) } ?? [])
            }
        }
    }

    private func writeHead(_ loaded: LoadedProfile, _ options: ViewOptions, to lines: inout TextLines) {
        let session = loaded.summary
        lines.rule("memtrack", [FinalReport.who(session), FinalReport.ended(session)])
        for note in session.notes { lines.paragraph(Escape.text(note), mark: "! ", tone: .warning) }
        if loaded.profile.sampling != nil {
            let isPeak = options.figure == .peakSpace || options.figure == .peakObjects
            lines.paragraph(
                "Figures are estimates from samples: every allocation was not counted."
                    + (isPeak ? " The peak is the highest of many: too high rather than too low." : ""),
                mark: "! ",
                tone: .warning)
        }
        lines.blank()
        let picked = options.selection.text
        let order = self == .timeline ? "" : "by " + options.figure.title
        lines.section(
            title,
            [order, picked.isEmpty ? "" : "sites " + Escape.text(picked)].filter { !$0.isEmpty }
                .joined(separator: ", "))
    }

    private var title: String {
        switch self {
        case .sites: "Call sites"
        case .tree: "Functions from the top down"
        case .callers: "Call sites and their callers"
        case .functions: "Functions"
        case .classes: "Size classes"
        case .modules: "Modules"
        case .timeline: "Over time"
        }
    }
}

extension SampleType {
    var title: String {
        switch self {
        case .inuseSpace: "live size"
        case .inuseObjects: "live blocks"
        case .peakSpace: "size at the peak"
        case .peakObjects: "blocks at the peak"
        case .allocSpace: "size allocated"
        case .allocObjects: "allocations"
        case .temporaryObjects: "temporary allocations"
        }
    }

    func text(_ counters: Counters) -> String {
        isSpace ? FigureText.bytes(value(of: counters)) : FigureText.count(value(of: counters))
    }
}
