// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackSymbols

/// What runtimes say of the code they made themselves: `/tmp/perf-PID.map`, read again when it has grown.
final class PerfMaps {
    private struct Known {
        var size: Int64
        var map: PerfMap?
    }

    private static let limit = 64 << 20
    private var known: [Int32: Known] = [:]

    /// The map of a process; nil if its runtime writes none, or it is another user's.
    func map(of pid: Int32) -> PerfMap? {
        let path = "/tmp/perf-\(pid).map"
        var status = stat()
        let size = lstat(path, &status) == 0 ? Int64(status.st_size) : -1
        if let known = known[pid], known.size == size { return known.map }
        let map = size < 0 ? nil : InputFile.bytes(of: path, limit: Self.limit).map { PerfMap(parsing: $0) }
        known[pid] = Known(size: size, map: map)
        return map
    }

    func forget(_ pid: Int32) { known[pid] = nil }
}
