// SPDX-License-Identifier: Apache-2.0

/// Makes text from the target safe for a terminal, a file of lines and a log.
///
/// What comes out has no control characters, no escape sequences, no invisible or direction-changing
/// characters, and is one line. It is unambiguous: a backslash of the input is doubled.
public enum Escape {
    public static func text(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }) { return text }
        var result = ""
        for scalar in text.unicodeScalars { append(scalar, to: &result) }
        return result
    }

    /// Bytes that need not be UTF-8; each byte that is not part of a character becomes `\xNN`.
    public static func bytes(_ bytes: some Sequence<UInt8>) -> String {
        let bytes = Array(bytes)
        var result = ""
        var index = 0
        while index < bytes.count {
            var parser = Unicode.UTF8.ForwardParser()
            var iterator = bytes[index...].makeIterator()
            switch parser.parseScalar(from: &iterator) {
            case .valid(let units):
                append(Unicode.UTF8.decode(units), to: &result)
                index += units.count
            case .error(let length):
                for byte in bytes[index..<min(bytes.count, index + max(1, length))] {
                    result += "\\x" + hex(byte, digits: 2)
                }
                index += max(1, length)
            case .emptyInput:
                return result
            }
        }
        return result
    }

    private static func append(_ scalar: Unicode.Scalar, to result: inout String) {
        switch scalar.value {
        case 0x0a: result += "\\n"
        case 0x0d: result += "\\r"
        case 0x09: result += "\\t"
        case 0x5c: result += "\\\\"
        case 0x20..<0x7f: result.unicodeScalars.append(scalar)
        case 0..<0x20, 0x7f: result += "\\x" + hex(UInt8(scalar.value), digits: 2)
        default:
            if isVisible(scalar) {
                result.unicodeScalars.append(scalar)
            } else {
                result += "\\u{" + String(scalar.value, radix: 16) + "}"
            }
        }
    }

    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.properties.isDefaultIgnorableCodePoint { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            return false
        default:
            return true
        }
    }

    private static func hex(_ byte: UInt8, digits: Int) -> String {
        let text = String(byte, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
