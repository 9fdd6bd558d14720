// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Bytes of a file that is taken for hostile: every read is checked against the end and against a limit.
struct ByteSource {
    /// More than the symbols of the largest programs; what asks for more is damaged or not worth the wait.
    static let limit = 128 << 20

    let size: UInt64
    /// Exactly `count` bytes at `offset`, which the caller has checked; nil where the file has got shorter.
    private let fetch: (_ offset: UInt64, _ count: Int) -> [UInt8]?

    init(_ bytes: [UInt8]) {
        size = UInt64(bytes.count)
        fetch = { offset, count in Array(bytes[Int(offset)..<Int(offset) + count]) }
    }

    /// Reads from a descriptor that the caller keeps open as long.
    init(descriptor: Int32, size: UInt64) {
        self.size = size
        fetch = { offset, count in
            var bytes = [UInt8](repeating: 0, count: count)
            var done = 0
            while done < count {
                let got = bytes.withUnsafeMutableBytes { space in
                    let rest = UnsafeMutableRawBufferPointer(rebasing: space[done...])
                    return pread(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
                }
                if got < 0 && errno == EINTR { continue }
                guard got > 0 else { return nil }
                done += got
            }
            return bytes
        }
    }

    /// nil where the range does not lie wholly inside the file.
    func bytes(at offset: UInt64, count: UInt64) -> [UInt8]? {
        let (end, tooBig) = offset.addingReportingOverflow(count)
        guard !tooBig, end <= size, end <= UInt64(Int64.max), count <= Self.limit else { return nil }
        return count == 0 ? [] : fetch(offset, Int(count))
    }

    /// The first `count` bytes, or all where the file is shorter.
    func prefix(_ count: UInt64) -> [UInt8] { bytes(at: 0, count: min(count, size)) ?? [] }
}

/// Integers out of a byte array, in the byte order of an ELF file; nil beyond the end.
struct IntegerReader {
    let bytes: [UInt8]
    let isBigEndian: Bool

    func integer(_ offset: Int, size: Int) -> UInt64? {
        guard offset >= 0, size <= bytes.count, offset <= bytes.count - size else { return nil }
        var value: UInt64 = 0
        for place in 0..<size {
            let index = isBigEndian ? offset + place : offset + size - 1 - place
            value = value << 8 | UInt64(bytes[index])
        }
        return value
    }

    /// The NUL-terminated text at `offset`; nil where it has no end.
    func text(_ offset: UInt64) -> ArraySlice<UInt8>? {
        guard offset < UInt64(bytes.count) else { return nil }
        let rest = bytes[Int(offset)...]
        return rest.firstIndex(of: 0).map { rest[..<$0] }
    }
}
