// SPDX-License-Identifier: Apache-2.0

/// Lines of comma-separated values (RFC 4180, with line feeds alone).
struct CSV {
    private(set) var text = ""

    mutating func row(_ cells: [String]) {
        text += cells.map(Self.quoted).joined(separator: ",") + "\n"
    }

    /// Text of the target, fit for a terminal, where this is written as long as no file is named. It may begin like a formula,
    /// which a spreadsheet would run: a tab before it says that it is text (OWASP, "CSV injection").
    static func text(_ text: String) -> String {
        guard let first = text.utf8.first, formulaStarts.contains(first) else { return Escape.text(text) }
        return "\t" + Escape.text(text)
    }

    private static let formulaStarts: [UInt8] = Array("=+-@".utf8)
    private static let quotable: [UInt8] = Array("\",\n\r\t".utf8)

    private static func quoted(_ cell: String) -> String {
        guard cell.utf8.contains(where: quotable.contains) else { return cell }
        let parts = cell.split(separator: "\"", omittingEmptySubsequences: false)
        return "\"" + parts.joined(separator: "\"\"") + "\""
    }
}
