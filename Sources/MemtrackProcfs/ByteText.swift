// SPDX-License-Identifier: Apache-2.0

/// The lines of a text, without their newlines. Bytes, because names in procfs need not be UTF-8.
struct Lines: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func next() -> ArraySlice<UInt8>? {
        guard position < bytes.count else { return nil }
        let start = position
        let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        position = end + 1
        return bytes[start..<end]
    }

    static func first(of bytes: [UInt8]) -> ArraySlice<UInt8>? {
        var lines = Lines(bytes)
        return lines.next()
    }
}

extension ArraySlice<UInt8> {
    var text: String { String(decoding: self, as: UTF8.self) }

    /// Without blanks and tabs at both ends.
    var trimmed: ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) })
        else { return self[endIndex...] }
        return self[first...last]
    }

    /// Decimal digits and nothing else; nil also where the value does not fit.
    var decimal: UInt64? { number(base: 10) }

    /// Hexadecimal digits in lower or upper case and nothing else.
    var hexadecimal: UInt64? { number(base: 16) }

    private func number(base: UInt64) -> UInt64? {
        guard !isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in self {
            let digit: UInt64
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = UInt64(byte &- UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = UInt64(byte &- UInt8(ascii: "a")) &+ 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = UInt64(byte &- UInt8(ascii: "A")) &+ 10
            default: return nil
            }
            guard digit < base else { return nil }
            let (product, tooBig) = value.multipliedReportingOverflow(by: base)
            let (sum, tooBigWithDigit) = product.addingReportingOverflow(digit)
            guard !tooBig, !tooBigWithDigit else { return nil }
            value = sum
        }
        return value
    }

    /// The form `  1234 kB`, in bytes.
    var kilobytes: UInt64? {
        let value = trimmed
        guard value.suffix(3).elementsEqual(" kB".utf8), let count = value.dropLast(3).decimal else {
            return nil
        }
        let (bytes, tooBig) = count.multipliedReportingOverflow(by: 1024)
        return tooBig ? nil : bytes
    }

    /// `Key: value` as (key, value); nil where there is no colon.
    var keyAndValue: (key: ArraySlice<UInt8>, value: ArraySlice<UInt8>)? {
        guard let colon = firstIndex(of: UInt8(ascii: ":")) else { return nil }
        return (self[..<colon], self[(colon + 1)...].trimmed)
    }

    /// Undoes `\040` and the like, with which the kernel writes blanks, tabs, newlines and backslashes in
    /// mountinfo, and newlines (`\012`) in maps.
    func unescaped(only codes: Set<UInt8>? = nil) -> [UInt8] {
        var result: [UInt8] = []
        var index = startIndex
        while index < endIndex {
            let digits = self[index...].dropFirst().prefix(3)
            if self[index] == UInt8(ascii: "\\"), digits.count == 3,
                digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") })
            {
                let value = digits.reduce(0) { $0 * 8 + Int($1 &- UInt8(ascii: "0")) }
                if let code = UInt8(exactly: value), codes?.contains(code) ?? true {
                    result.append(code)
                    index += 4
                    continue
                }
            }
            result.append(self[index])
            index += 1
        }
        return result
    }
}
