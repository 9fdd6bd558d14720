// SPDX-License-Identifier: Apache-2.0

/// How much room there is and whether colour is welcome. Decided by the caller: nothing here asks a
/// terminal.
public struct Layout: Sendable, Hashable {
    /// Columns, 40 to 200.
    public let width: Int
    public let usesColor: Bool

    public init(width: Int, usesColor: Bool = false) {
        self.width = min(max(width, 40), 200)
        self.usesColor = usesColor
    }

    /// What history files are written with.
    public static let file = Layout(width: 120)

    /// Callers and explanations are left out below the width that terminals have unless told otherwise.
    var isNarrow: Bool { width < 80 }
    var showsCallers: Bool { !isNarrow }
}

/// What a piece of text is, for colour.
enum Tone: Sendable {
    case plain
    case dim
    case bold
    /// More memory than before.
    case rise
    case fall
    case warning
    case accent

    var code: String? {
        switch self {
        case .plain: nil
        case .dim: "2"
        case .bold: "1"
        case .rise: "33"
        case .fall: "32"
        case .warning: "33"
        case .accent: "36"
        }
    }
}

/// A piece of escaped text in one tone.
struct Span: Sendable {
    var text: String
    var tone: Tone

    init(_ text: String, _ tone: Tone = .plain) {
        self.text = text
        self.tone = tone
    }

    static func change(_ value: Int64) -> Span {
        Span(FigureText.change(value), value == 0 ? .dim : (value > 0 ? .rise : .fall))
    }
}

/// Collects lines of spans. Trailing blanks are never written.
struct TextLines {
    let layout: Layout
    private(set) var text = ""

    init(_ layout: Layout) {
        self.layout = layout
    }

    mutating func add(_ spans: [Span]) {
        var spans = spans
        while let last = spans.popLast() {
            let kept = last.text.utf8.reversed().drop { $0 == UInt8(ascii: " ") }.count
            if kept == 0 { continue }
            spans.append(Span(String(decoding: last.text.utf8.prefix(kept), as: UTF8.self), last.tone))
            break
        }
        for span in spans {
            if layout.usesColor, let code = span.tone.code, !span.text.isEmpty {
                text += "\u{1b}[" + code + "m" + span.text + "\u{1b}[0m"
            } else {
                text += span.text
            }
        }
        text += "\n"
    }

    mutating func blank() { text += "\n" }

    /// `── title ── more ─────────` over the whole width; what does not fit stands on the next line.
    mutating func rule(_ title: String, _ more: [String] = []) {
        var spans = [Span("── ", .dim)]
        var used = 3
        var pieces = [Span(title, .bold)] + more.map { Span($0) }
        var left: [String] = []
        while pieces.count > 1 && pieces.reduce(1, { $0 + DisplayWidth.of($1.text) + 4 }) > layout.width {
            left.insert(pieces.removeLast().text, at: 0)
        }
        for (index, piece) in pieces.enumerated() {
            if index > 0 {
                spans.append(Span(" ── ", .dim))
                used += 4
            }
            let text = DisplayWidth.truncateMiddle(piece.text, to: max(4, layout.width - used - 4))
            spans.append(Span(text, piece.tone))
            used += DisplayWidth.of(text)
        }
        spans.append(Span(" " + String(repeating: "─", count: max(0, layout.width - used - 1)), .dim))
        add(spans)
        for text in left { paragraph(text) }
    }

    /// A section's title, and in dim what the reader should know of it.
    mutating func section(_ title: String, _ explanation: String = "") {
        var spans = [Span(title, .bold)]
        let free = layout.width - DisplayWidth.of(title) - 3
        if !explanation.isEmpty && DisplayWidth.of(explanation) <= free && !layout.isNarrow {
            spans += [Span("   "), Span(explanation, .dim)]
        }
        add(spans)
    }

    /// A paragraph broken at blanks, indented by two columns; words longer than a line are cut in the middle.
    mutating func paragraph(_ sentence: String, mark: String = "", tone: Tone = .plain) {
        let indent = 2 + DisplayWidth.of(mark)
        let room = layout.width - indent
        var line = ""
        var isFirst = true
        func spans(_ line: String) -> [Span] {
            [Span(isFirst ? "  " + mark : String(repeating: " ", count: indent), tone), Span(line, tone)]
        }
        for word in sentence.split(separator: " ") {
            let word = DisplayWidth.truncateMiddle(String(word), to: room)
            if !line.isEmpty && DisplayWidth.of(line) + 1 + DisplayWidth.of(word) > room {
                add(spans(line))
                isFirst = false
                line = ""
            }
            line += line.isEmpty ? word : " " + word
        }
        if !line.isEmpty { add(spans(line)) }
    }
}
