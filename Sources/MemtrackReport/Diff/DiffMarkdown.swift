// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// A diff for a comment on a pull request.
public enum DiffMarkdown {
    public static func render(
        _ diff: ProfileDiff, types: TypeDiffResult, _ title: DiffTitle, options: DiffOptions
    ) -> String {
        switch types {
        case .success(let types):
            sites(diff, title, options) + TypeDiffText.markdown(types, options, code: code)
        case .failure(.profile(let name)):
            sites(diff, title, options) + "\n" + cell(TypeDiffText.absence(of: name)) + "\n"
        case .failure(.bothSides): sites(diff, title, options)
        }
    }

    private static func sites(_ diff: ProfileDiff, _ title: DiffTitle, _ options: DiffOptions) -> String {
        let all = diff.ranked(by: options.figure)
        let changed = all.filter { diff.weight($0, options.figure) != 0 }
        let offenders = diff.offenders(options.limits, chosen: options.figure)
        var text = "### Memory: \(cell(title.old)) → \(cell(title.new))\n\n"
        if !title.notes.isEmpty {
            text += title.notes.map { "* \(cell(Escape.text($0)))\n" }.joined() + "\n"
        }
        if !options.limits.isEmpty {
            let suspects = diff.suspects(options.limits, chosen: options.figure)
            let limits = options.limits.map(\.text).joined(separator: ", ")
            let noise = suspects.isEmpty ? "" : " beyond noise"
            text +=
                offenders.isEmpty
                ? "Nothing has grown by more than \(limits)\(noise).\n\n"
                : "**Grown by more than \(limits):**\n\n"
            text += list(offenders, options)
            if let reasons = diff.reasons(suspects.map(\.change)) {
                text += "Within noise, because \(reasons):\n\n" + list(suspects, options)
            }
        }
        text += "| total | old | new | change | % |\n|---|--:|--:|--:|--:|\n"
        for type in ProfileDiff.types {
            guard let change = diff.totals[type] else { continue }
            text += "| \(type.title) | " + values(change, type) + " |\n"
        }
        let rows = DiffText.shown(changed, diff, options)
        if rows.isEmpty { return text + "\nNo \(diff.unit.title.lowercased()) changed.\n" }
        let main = options.mainType(diff, changed)
        let others = ProfileDiff.types.filter { $0 != main }
        text += "\n| \(diff.unit.title.lowercased()) | \(main.shortTitle): old | new | change | % |"
        text += others.map { " \($0.shortTitle) |" }.joined() + "\n|---|--:|--:|--:|--:|"
        text += others.map { _ in "--:|" }.joined() + "\n"
        for row in rows {
            let change = row.change(main)
            text += "| \(code(row.name(isNoise: change.isNoise))) | " + values(change, main) + " |"
            text += others.map { " \($0.changeText(row.change($0).change)) |" }.joined() + "\n"
        }
        if changed.count > rows.count {
            text += "\n\(changed.count - rows.count) more with smaller changes.\n"
        }
        return text
    }

    private static func list(_ offenders: [DiffOffender], _ options: DiffOptions) -> String {
        if offenders.isEmpty { return "" }
        return offenders.prefix(options.limit).map { "* \(cell($0.sentence))\n" }.joined() + "\n"
    }

    private static func values(_ change: DiffChange, _ type: SampleType) -> String {
        [
            type.valueText(change.old), type.valueText(change.new), type.changeText(change.change),
            change.percentText + (change.isNoise ? " (noise)" : ""),
        ].joined(separator: " | ")
    }

    /// Names come from the program and are text, whatever is in them.
    private static func code(_ text: String) -> String {
        "`" + replace(replace(text, "`", "'"), "|", "\\|") + "`"
    }

    private static func cell(_ text: String) -> String {
        var result = text
        for mark in ["\\", "`", "*", "_", "<", "[", "|"] { result = replace(result, mark, "\\" + mark) }
        return result
    }

    private static func replace(_ text: String, _ mark: Character, _ with: String) -> String {
        text.split(separator: mark, omittingEmptySubsequences: false).joined(separator: with)
    }

    private static func replace(_ text: String, _ mark: String, _ with: String) -> String {
        mark.first.map { replace(text, $0, with) } ?? text
    }
}
