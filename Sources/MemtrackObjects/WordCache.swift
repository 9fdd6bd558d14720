// SPDX-License-Identifier: Apache-2.0

/// Single words and texts of the target, through pages that are kept: type objects, vtables and names lie close
/// together and are asked for again and again.
final class WordCache {
    private let memory: any TargetMemory
    /// An empty array for a page that cannot be read.
    private var pages: [UInt64: [UInt8]] = [:]
    private static let pageBytes: UInt64 = 4096
    /// 4 MiB; then all are dropped.
    private static let limit = 1024
    private(set) var failure: CensusError?

    init(memory: any TargetMemory) {
        self.memory = memory
    }

    func word(_ address: UInt64) -> UInt64? { integer(address, as: UInt64.self) }
    func half(_ address: UInt64) -> UInt32? { integer(address, as: UInt32.self) }
    func short(_ address: UInt64) -> UInt16? { integer(address, as: UInt16.self) }

    private func integer<Value: FixedWidthInteger>(_ address: UInt64, as type: Value.Type) -> Value? {
        let size = UInt64(MemoryLayout<Value>.size)
        let offset = address & (Self.pageBytes - 1)
        if offset + size <= Self.pageBytes {
            return page(address &- offset)?.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: Int(offset), as: Value.self)
            }
        }
        var value: Value = 0
        for place in 0..<size {
            guard let byte = byte(address &+ place) else { return nil }
            value |= Value(truncatingIfNeeded: byte) << Value(truncatingIfNeeded: place * 8)
        }
        return value
    }

    /// What a 32-bit relative reference at an address leads to, through a pointer where its lowest bit is set; nil for
    /// a null reference.
    func relative(_ address: UInt64, canBeIndirect: Bool = false) -> UInt64? {
        guard let half = half(address), half != 0 else { return nil }
        let isIndirect = canBeIndirect && half & 1 != 0
        let offset = Int64(Int32(bitPattern: half)) & (canBeIndirect ? ~1 : ~0)
        let target = address &+ UInt64(bitPattern: offset)
        return isIndirect ? word(target) : target
    }

    /// A NUL-terminated name of printable characters (where `isPrintable`): nil for anything else, and past `limit` bytes.
    func text(_ address: UInt64, limit: Int = 512, isPrintable: Bool = true) -> String? {
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            guard let byte = byte(address &+ UInt64(bytes.count)) else { return nil }
            if byte == 0 { break }
            guard !isPrintable || byte >= 0x20 && byte != 0x7f else { return nil }
            bytes.append(byte)
        }
        guard !bytes.isEmpty, bytes.count <= limit else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private func byte(_ address: UInt64) -> UInt8? {
        let offset = address & (Self.pageBytes - 1)
        return page(address &- offset)?[Int(offset)]
    }

    private func page(_ address: UInt64) -> [UInt8]? {
        if let known = pages[address] { return known.isEmpty ? nil : known }
        // User addresses have 47 bits; page 0 is never mapped.
        guard address != 0, address < 1 << 47, failure == nil else { return nil }
        if pages.count >= Self.limit { pages.removeAll(keepingCapacity: true) }
        var bytes = [UInt8](repeating: 0, count: Int(Self.pageBytes))
        let got = bytes.withUnsafeMutableBytes { buffer -> Int in
            do throws(CensusError) {
                return try memory.read(address, into: buffer)
            } catch {
                failure = error
                return 0
            }
        }
        pages[address] = got == bytes.count ? bytes : []
        return got == bytes.count ? bytes : nil
    }
}
