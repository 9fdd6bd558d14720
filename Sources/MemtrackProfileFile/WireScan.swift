// SPDX-License-Identifier: Apache-2.0

/// Looks over an encoded profile before it is decoded. A decoded record takes up to fifty times the bytes it has
/// in the file, so a small file could ask for all memory there is: records are counted first.
struct WireScan {
    /// Samples, locations, functions, strings, lines, labels.
    private(set) var records = 0
    private let bytes: [UInt8]
    private let limit: Int

    /// Throws where the bytes are no message of this format, or of more records than `limit`.
    static func check(_ bytes: [UInt8], limit: Int) throws(ProfileFileError) {
        var scan = WireScan(bytes: bytes, limit: limit)
        try scan.message(0..<bytes.count, depth: 0)
    }

    private init(bytes: [UInt8], limit: Int) {
        self.bytes = bytes
        self.limit = limit
    }

    private mutating func message(_ range: Range<Int>, depth: Int) throws(ProfileFileError) {
        var index = range.lowerBound
        while index < range.upperBound {
            let key = try varint(&index, range.upperBound)
            guard key >> 3 != 0 else { throw .notAProfile }
            switch key & 7 {
            case 0: _ = try varint(&index, range.upperBound)
            case 1: index += 8
            case 5: index += 4
            case 2:
                let length = try varint(&index, range.upperBound)
                guard length <= UInt64(range.upperBound - index) else { throw .truncated }
                records += 1
                if records > limit { throw .tooLarge(what: "records", limit: limit) }
                let inner = index..<(index + Int(length))
                // Samples hold labels, locations hold lines.
                if depth == 0, key >> 3 == 2 || key >> 3 == 4 { try message(inner, depth: 1) }
                index = inner.upperBound
            default: throw .notAProfile
            }
            guard index <= range.upperBound else { throw .truncated }
        }
    }

    private func varint(_ index: inout Int, _ end: Int) throws(ProfileFileError) -> UInt64 {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while index < end {
            let byte = bytes[index]
            index += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return result }
            shift += 7
            if shift >= 64 { throw .notAProfile }
        }
        throw .truncated
    }
}
