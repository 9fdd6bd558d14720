// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

// The words of a diff: shared by text and Markdown.

extension DiffUnit {
    var title: String {
        switch self {
        case .site: "Call sites"
        case .stack: "Stacks"
        case .module: "Modules"
        case .class: "Size classes"
        }
    }
}

extension SampleType {
    func changeText(_ value: Int64) -> String {
        isSpace
            ? FigureText.change(value)
            : (value == 0 ? FigureText.nothing : (value > 0 ? "+" : "") + FigureText.count(value))
    }

    func valueText(_ value: Int64) -> String {
        isSpace ? FigureText.bytes(value) : FigureText.count(value)
    }

    func text(_ value: Int64) -> String { valueText(value) }

    /// A column's.
    var shortTitle: String {
        switch self {
        case .inuseSpace: "live"
        case .inuseObjects: "blocks"
        case .peakSpace: "peak"
        case .peakObjects: "peak blocks"
        case .allocSpace: "allocated"
        case .allocObjects: "allocs"
        case .temporaryObjects: "temporary"
        }
    }
}

extension DiffChange {
    /// `+12.5 %`; `new` and `gone` where there was, or is, nothing.
    var percentText: String {
        if change == 0 { return FigureText.nothing }
        if old == 0 { return "new" }
        if new == 0 { return "gone" }
        let text = FigureText.share(Double(change), of: Double(old.magnitude))
        return (change > 0 && !text.hasPrefix("<") ? "+" : "") + text
    }
}

extension ProfileDiff {
    /// Why a change is within noise; nil where it is not.
    func reason(_ change: DiffChange) -> String? {
        guard let noise = change.noise else { return nil }
        switch noise {
        case .runs: return "runs of one build differ by as much"
        case .peak:
            let (slack, count) =
                change.change > 0 ? (peakDoubt.old, oldThreads) : (peakDoubt.new, newThreads)
            let threads = count > 1 ? FigureText.count(count) + " threads" : "several threads"
            return "the peak of a program with \(threads) is known to \(FigureText.shortBytes(slack)) only"
        }
    }

    /// The reasons of several changes, each once.
    func reasons(_ changes: [DiffChange]) -> String? {
        var texts: [String] = []
        for text in changes.compactMap(reason) where !texts.contains(text) { texts.append(text) }
        return texts.isEmpty ? nil : texts.joined(separator: "; ")
    }
}

extension DiffRow {
    /// `new`, `gone`, `moved` and what else must be known of a row.
    private func marks(isNoise: Bool) -> String {
        var marks: [String] = []
        switch kind {
        case .new: marks.append("new")
        case .gone: marks.append("gone")
        case .both: if isMoved { marks.append("moved") }
        }
        if isNoise { marks.append("≈ noise") }
        return marks.isEmpty ? "" : "[" + marks.joined(separator: ", ") + "] "
    }

    func spans(room: Int, isNoise: Bool) -> [Span] {
        let marks = marks(isNoise: isNoise)
        let left = max(8, room - DisplayWidth.of(marks))
        return (marks.isEmpty ? [] : [Span(marks, .accent)]) + nameSpans(room: left)
    }

    private func nameSpans(room: Int) -> [Span] {
        switch label {
        case .frame(let frame, _): return FrameText.site(frame, room: room)
        case .module(let path):
            let text = path.isEmpty ? "(no module)" : Escape.text(path)
            return [Span(DisplayWidth.truncateMiddle(text, to: room))]
        case .sizeClass(let sizeClass): return [Span(SizeClassTable.label(sizeClass))]
        }
    }

    /// Callers, or what was found inlined.
    func detail(room: Int) -> [Span] {
        if !inlined.isEmpty {
            let names = inlined.map(Escape.text).joined(separator: ", ")
            return [Span(DisplayWidth.truncateMiddle("with \(names), inlined on one side", to: room), .dim)]
        }
        if case .frame(_, let callers) = label { return FrameText.callers(callers, room: room) }
        return []
    }

    /// All of it, on one line, for lists.
    func name(isNoise: Bool = false) -> String {
        spans(room: 200, isNoise: isNoise).map(\.text).joined()
    }
}

extension DiffOffender {
    /// `allocations: 1,204 → 2,408 (+1,204, +100.0 %) in parse (parse.c:12)`
    var sentence: String {
        let values = type.valueText(change.old) + " → " + type.valueText(change.new)
        let percent = change.old == 0 ? "new" : change.percentText
        let place = row.map { " in " + $0.name() } ?? " in total"
        return "\(type.title): \(values) (\(type.changeText(change.change)), \(percent))\(place)"
    }
}
