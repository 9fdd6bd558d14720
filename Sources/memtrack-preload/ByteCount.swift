// SPDX-License-Identifier: Apache-2.0

/// A size as people write it: `4096`, `512K`, `1M`, `2G`, in powers of 1024.
enum ByteCount {
    static func parse(_ text: String) -> UInt64? {
        var digits = text.uppercased()
        if digits.hasSuffix("IB") {
            digits.removeLast(2)
        } else if digits.hasSuffix("B") {
            digits.removeLast()
        }
        var shift: UInt64 = 0
        switch digits.last {
        case "K": shift = 10
        case "M": shift = 20
        case "G": shift = 30
        default: break
        }
        if shift > 0 { digits.removeLast() }
        guard let number = UInt64(digits), number <= UInt64.max >> shift else { return nil }
        return number << shift
    }
}
