// SPDX-License-Identifier: Apache-2.0
import MemtrackReport
import Testing

@Suite struct EscapeTests {
    @Test(arguments: [
        ("plain_name(int)", "plain_name(int)"), ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\u{1b}[2J", "\\x1b[2J"), ("\u{7}\u{0}\u{7f}", "\\x07\\x00\\x7f"), ("\u{9b}31m", "\\u{9b}31m"),
        ("a\u{202e}b", "a\\u{202e}b"), ("\u{2066}\u{2069}\u{61c}", "\\u{2066}\\u{2069}\\u{61c}"),
        ("z\u{200b}\u{200d}\u{feff}\u{ad}", "z\\u{200b}\\u{200d}\\u{feff}\\u{ad}"),
        ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
        ("\u{e0041}\u{fe0f}\u{3164}", "\\u{e0041}\\u{fe0f}\\u{3164}"),
        ("\u{e000}", "\\u{e000}"), ("back\\slash", "back\\\\slash"), ("für 世界 é", "für 世界 é"),
        ("\r\n", "\\r\\n"),
    ]) func text(input: String, expected: String) {
        #expect(Escape.text(input) == expected)
    }

    @Test(
        arguments: [
            ([0x61, 0xff, 0x62], "a\\xffb"), ([0xc3, 0xa9], "é"), ([0xc3], "\\xc3"),
            ([0xc3, 0x28], "\\xc3("),
            ([0xe2, 0x82], "\\xe2\\x82"), ([0xed, 0xa0, 0x80], "\\xed\\xa0\\x80"),
            ([0xf0, 0x9f, 0x98, 0x80], "😀"), ([0xc0, 0xaf], "\\xc0\\xaf"), ([0x1b, 0xff], "\\x1b\\xff"),
            ([], ""),
        ] as [([UInt8], String)]) func bytes(input: [UInt8], expected: String)
    {
        #expect(Escape.bytes(input) == expected)
    }

    @Test func nothingDangerousEverComesOut() {
        for value in UInt32(0)...0x2ffff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            for out in Escape.text(String(scalar)).unicodeScalars {
                let isControl = out.value < 0x20 || (0x7f..<0xa0).contains(out.value)
                let isInvisible =
                    out.properties.generalCategory == .format
                    || out.properties.isBidiControl || out.properties.isDefaultIgnorableCodePoint
                if isControl || isInvisible { Issue.record("U+\(String(value, radix: 16)) let through") }
            }
        }
    }
}
