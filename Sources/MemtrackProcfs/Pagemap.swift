// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// `/proc/PID/pagemap`: one 64-bit word for each page of the address space; bit 63 says that it is resident.
/// Source: Documentation/admin-guide/mm/pagemap.rst in Linux. Needs the right to trace the process.
extension Procfs {
    /// Resident bytes in ranges of addresses; nil where the kernel does not tell.
    public func residentBytes(of pid: Int32, ranges: [Range<UInt64>]) -> UInt64? {
        let descriptor = open("\(root)/\(pid)/pagemap", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let pageBytes = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        var words = [UInt64](repeating: 0, count: 8192)
        var pages: UInt64 = 0
        for range in ranges {
            var page = range.lowerBound / pageBytes
            let end = range.upperBound / pageBytes
            while page < end {
                let wanted = min(Int(end - page), words.count)
                let got = words.withUnsafeMutableBytes {
                    pread(descriptor, $0.baseAddress, wanted * 8, off_t(bitPattern: UInt(page &* 8)))
                }
                guard got >= 8 else { break }
                for word in words.prefix(got / 8) where word >> 63 == 1 { pages += 1 }
                page += UInt64(got / 8)
            }
        }
        return pages * pageBytes
    }

    /// The parts of a range that may hold anything but zeros: pages that are resident or swapped out. nil where the
    /// kernel does not tell.
    public func populatedRanges(of pid: Int32, in range: Range<UInt64>) -> [Range<UInt64>]? {
        let descriptor = open("\(root)/\(pid)/pagemap", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let pageBytes = UInt64(sysconf(Int32(_SC_PAGESIZE)))
        var words = [UInt64](repeating: 0, count: 4096)
        var found: [Range<UInt64>] = []
        var page = range.lowerBound / pageBytes
        let end = (range.upperBound &+ pageBytes &- 1) / pageBytes
        while page < end {
            let wanted = min(Int(end - page), words.count)
            let got = words.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, wanted * 8, off_t(bitPattern: UInt(page &* 8)))
            }
            guard got >= 8 else { return got < 0 ? nil : found }
            for word in words.prefix(got / 8) {
                if word >> 62 != 0 {
                    let start = max(page * pageBytes, range.lowerBound)
                    let limit = min((page + 1) * pageBytes, range.upperBound)
                    if found.last?.upperBound == start {
                        found[found.count - 1] = found[found.count - 1].lowerBound..<limit
                    } else {
                        found.append(start..<limit)
                    }
                }
                page += 1
            }
        }
        return found
    }
}
