// SPDX-License-Identifier: Apache-2.0

/// Writes JSON piece by piece. Exports have millions of numbers, for which an encoder of `Encodable` takes
/// seconds.
///
/// The caller keeps to the grammar (a key before each value of an object); commas are put here.
struct JSONWriter {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false
    /// For a page that shows the text: what is invisible or turns the direction of writing is made visible,
    /// and nothing looks like markup (`<`, `>` and `&` are written as `\u003c` and so on), as inside a
    /// `<script>` it must not.
    private let isForMarkup: Bool

    init(forMarkup isForMarkup: Bool = false) { self.isForMarkup = isForMarkup }

    mutating func object(_ body: (inout JSONWriter) -> Void) {
        enclose("{", "}", body)
    }

    mutating func array(_ body: (inout JSONWriter) -> Void) {
        enclose("[", "]", body)
    }

    mutating func array<Values: Sequence>(
        of values: Values, _ body: (inout JSONWriter, Values.Element) -> Void
    ) {
        enclose("[", "]") { json in
            for value in values { body(&json, value) }
        }
    }

    /// The next value of an array is an object, or such.
    mutating func key(_ name: String) {
        value(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    mutating func value(_ text: String) {
        separate()
        quote(text)
    }

    mutating func value(_ text: String?) {
        if let text { value(text) } else { null() }
    }

    mutating func value(_ number: some BinaryInteger) {
        separate()
        append(number)
    }

    /// What is no number in JSON is null.
    mutating func value(_ number: Double?) {
        guard let number, number.isFinite else { return null() }
        separate()
        // 3.0 is written 3: shorter, and the same number.
        if let whole = Int64(exactly: number) { append(whole) } else { bytes += "\(number)".utf8 }
    }

    mutating func value(_ truth: Bool) {
        separate()
        bytes += (truth ? "true" : "false").utf8
    }

    mutating func null() {
        separate()
        bytes += "null".utf8
    }

    mutating func field(_ name: String, _ text: String?) {
        key(name)
        value(text)
    }

    mutating func field(_ name: String, _ number: some BinaryInteger) {
        key(name)
        value(number)
    }

    mutating func field(_ name: String, numbers: some Sequence<some BinaryInteger>) {
        key(name)
        array(of: numbers) { $0.value($1) }
    }

    mutating func lineFeed() {
        bytes.append(UInt8(ascii: "\n"))
        needsComma = false
    }

    private mutating func enclose(
        _ open: Unicode.Scalar, _ close: Unicode.Scalar, _ body: (inout JSONWriter) -> Void
    ) {
        separate()
        bytes.append(UInt8(ascii: open))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: close))
        needsComma = true
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
    }

    private mutating func append(_ number: some BinaryInteger) {
        bytes += String(number).utf8
    }

    private mutating func quote(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in (isForMarkup ? Escape.text(text) : text).utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case UInt8(ascii: "\n"): bytes += "\\n".utf8
            case UInt8(ascii: "\t"): bytes += "\\t".utf8
            case 0..<0x20, 0x7f: escape(byte)
            case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
                if isForMarkup { escape(byte) } else { bytes.append(byte) }
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ byte: UInt8) {
        let hex = String(byte, radix: 16)
        bytes += (hex.utf8.count < 2 ? "\\u000" : "\\u00").utf8
        bytes += hex.utf8
    }
}
