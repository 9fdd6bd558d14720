// SPDX-License-Identifier: Apache-2.0

/// What a process uses, in bytes, as the kernel counts it. All 0 for a zombie or a kernel thread.
///
/// Source: `/proc/PID/status` and `/proc/PID/smaps_rollup`, proc(5). The kernel keeps the resident figures
/// in per-CPU parts, so they may be off by some hundred kilobytes on machines with many processors.
public struct ProcessMemory: Sendable, Hashable {
    /// Resident set: `rssAnon + rssFile + rssShmem` (VmRSS).
    public var rss: UInt64 = 0
    /// Address space (VmSize).
    public var vms: UInt64 = 0
    /// Largest resident set so far (VmHWM). It starts anew at exec.
    public var peakRSS: UInt64 = 0
    public var swap: UInt64 = 0
    /// Resident set with each shared page divided by the number of its users; nil where not readable.
    public var pss: UInt64?
    public var threads: UInt64 = 0
    /// Anonymous memory: heaps, stacks.
    public var rssAnon: UInt64 = 0
    /// Pages of mapped files.
    public var rssFile: UInt64 = 0
    /// Shared memory: tmpfs and /dev/shm, so also the profiler's own region.
    public var rssShmem: UInt64 = 0

    public init() {}
}

extension ProcessMemory {
    /// Reads the text of `/proc/PID/status`: lines of `Key:<tab>value`, memory in kB.
    init(status: [UInt8], path: String) throws(ProcfsError) {
        var sawThreads = false
        for line in Lines(status) {
            guard let (key, value) = line.keyAndValue else { continue }
            switch key.text {
            case "VmRSS": rss = try Self.bytes(line, value, path)
            case "VmSize": vms = try Self.bytes(line, value, path)
            case "VmHWM": peakRSS = try Self.bytes(line, value, path)
            case "VmSwap": swap = try Self.bytes(line, value, path)
            case "RssAnon": rssAnon = try Self.bytes(line, value, path)
            case "RssFile": rssFile = try Self.bytes(line, value, path)
            case "RssShmem": rssShmem = try Self.bytes(line, value, path)
            case "Threads":
                guard let count = value.decimal else { throw Self.unexpected(line, path) }
                threads = count
                sawThreads = true
            default: break
            }
        }
        // Threads comes after the memory lines and every process has it: without it the text was cut short.
        guard sawThreads else { throw .malformed(path: path, reason: "it has no line 'Threads:'") }
    }

    /// The `Pss:` line of `/proc/PID/smaps_rollup`; nil where there is none.
    static func pss(rollup: [UInt8]) -> UInt64? {
        for line in Lines(rollup) where line.starts(with: "Pss:".utf8) {
            return line.keyAndValue?.value.kilobytes
        }
        return nil
    }

    private static func bytes(
        _ line: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>, _ path: String
    ) throws(ProcfsError) -> UInt64 {
        guard let bytes = value.kilobytes else { throw unexpected(line, path) }
        return bytes
    }

    private static func unexpected(_ line: ArraySlice<UInt8>, _ path: String) -> ProcfsError {
        .malformed(path: path, reason: "unexpected line '\(line.prefix(80).text)'")
    }
}
