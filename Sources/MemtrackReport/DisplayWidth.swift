// SPDX-License-Identifier: Apache-2.0

/// Columns that escaped text takes on a terminal.
enum DisplayWidth {
    static func of(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.unicodeScalars.reduce(0) { $0 + of($1) }
    }

    static func of(_ scalar: Unicode.Scalar) -> Int {
        if scalar.value < 0x300 { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark: return 0
        default: return wide.contains { $0.contains(scalar.value) } ? 2 : 1
        }
    }

    /// East Asian Wide and Fullwidth blocks, and the emoji planes (Unicode Standard Annex 11).
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf,
        0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6,
        0x1f300...0x1f64f, 0x1f680...0x1f6ff, 0x1f900...0x1f9ff, 0x20000...0x3fffd,
    ]

    /// The text with its middle replaced by `…` so that it takes at most `width` columns.
    static func truncateMiddle(_ text: String, to width: Int) -> String {
        if of(text) <= width { return text }
        if width <= 1 { return width == 1 ? "…" : "" }
        let scalars = Array(text.unicodeScalars)
        let headWidth = width / 2
        var head = ""
        var used = 0
        for scalar in scalars {
            let next = of(scalar)
            if used + next > headWidth { break }
            head.unicodeScalars.append(scalar)
            used += next
        }
        var tail: [Unicode.Scalar] = []
        var free = width - 1 - used
        for scalar in scalars.reversed() {
            let next = of(scalar)
            if next > free { break }
            tail.append(scalar)
            free -= next
        }
        var result = head + "…"
        result.unicodeScalars.append(contentsOf: tail.reversed())
        return result
    }

    static func pad(_ text: String, to width: Int, right: Bool) -> String {
        let blanks = String(repeating: " ", count: max(0, width - of(text)))
        return right ? blanks + text : text + blanks
    }
}
