// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

// The JSON beside a profile, as docs/profile-files.md describes it. Property names are the keys.

/// What pprof has no place for.
struct Companion: Codable {
    struct Ending: Codable {
        /// `exited`, `signalled`, `running` or `unknown`.
        var how: String
        /// Exit status, or number of the signal.
        var number: Int32?
        var signal: String?
    }

    struct Peak: Codable {
        var slackBytes: UInt64?
        var monotonicNanoseconds: UInt64?
        var processes: Int
    }

    struct Sampling: Codable {
        var periodBytes: UInt64
        /// Every allocation by size class; absent in files of older versions.
        var exact: [ExactClass]?
    }

    struct ExactClass: Codable {
        var sizeClass: UInt32
        var allocations: UInt64
        var bytes: UInt64
    }

    struct Checkpoint: Codable {
        var number: Int
        var unixSeconds: Double
        var elapsedSeconds: Double
        var figures: CompanionFigures?
        var totals: CompanionCounters?
    }

    struct Process: Codable {
        var pid: Int32
        var parentPid: Int32
        var executable: String
        var arguments: [String]
        /// `exec` or `fork`.
        var origin: String
        var createdMonotonicNanoseconds: UInt64
        var running: Bool
        /// Absent in files of older versions: no.
        var replaced: Bool?
        var totals: CompanionCounters?
        var figures: CompanionFigures?
    }

    struct Marker: Codable {
        var label: String
        var monotonicNanoseconds: UInt64
    }

    struct Gauge: Codable {
        var name: String
        var value: Double
    }

    /// Always `memtrack-profile`.
    var format: String
    var version: Int
    var producer: String?
    /// CRC-32 of the profile's file: tells a companion of another run.
    var profileCrc32: UInt32
    var program: String
    var pid: Int32
    var commandLine: [String]
    var host: String
    var startUnixSeconds: Double
    var utcOffsetSeconds: Int
    var startMonotonicNanoseconds: UInt64
    var durationSeconds: Double
    var intervalSeconds: Double
    var ending: Ending
    var notes: [String]
    var hints: [String]
    var peak: Peak
    var sampling: Sampling?
    /// Functions whose allocations are booked on their callers.
    var wrapperFunctions: [String]
    var health: CompanionHealth
    var memtrackBytes: UInt64?
    var largestRssBytes: UInt64?
    var checkpoints: [Checkpoint]
    var processes: [Process]
    var markers: [Marker]
    /// All that were set; `markers` has the newest.
    var markerCount: Int
    var gauges: [Gauge]
    /// Only where object types were asked for.
    var objects: CompanionObjects?
}

struct CompanionCounters: Codable {
    var allocations: UInt64
    var allocatedBytes: UInt64
    var frees: UInt64
    var freedBytes: UInt64
    var temporaryAllocations: UInt64
    var peakBlocks: Int64
    var peakBytes: Int64

    init(_ counters: Counters) {
        allocations = counters.allocations
        allocatedBytes = counters.allocatedBytes
        frees = counters.frees
        freedBytes = counters.freedBytes
        temporaryAllocations = counters.temporary
        peakBlocks = counters.peakBlocks
        peakBytes = counters.peakBytes
    }

    var counters: Counters {
        var result = Counters()
        result.allocations = allocations
        result.allocatedBytes = allocatedBytes
        result.frees = frees
        result.freedBytes = freedBytes
        result.temporary = temporaryAllocations
        result.peakBlocks = peakBlocks
        result.peakBytes = peakBytes
        return result
    }
}

struct CompanionFigures: Codable {
    var rssBytes: UInt64
    var vmsBytes: UInt64
    var peakRssBytes: UInt64?
    var swapBytes: UInt64?
    var pssBytes: UInt64?
    var totalRamBytes: UInt64
    var threads: Int
    var children: Int
    var childrenRssBytes: UInt64
    var totalRssBytes: UInt64
    var memtrackBytes: UInt64

    init(_ figures: ProcessFigures) {
        rssBytes = figures.rss
        vmsBytes = figures.vms
        peakRssBytes = figures.peakRSS
        swapBytes = figures.swap
        pssBytes = figures.pss
        totalRamBytes = figures.totalRAM
        threads = figures.threads
        children = figures.childCount
        childrenRssBytes = figures.childrenRSS
        totalRssBytes = figures.totalRSS
        memtrackBytes = figures.shimBytes
    }

    var figures: ProcessFigures {
        ProcessFigures(
            rss: rssBytes, vms: vmsBytes, peakRSS: peakRssBytes, swap: swapBytes, pss: pssBytes,
            totalRAM: totalRamBytes, threads: threads, childCount: children, childrenRSS: childrenRssBytes,
            totalRSS: totalRssBytes, shimBytes: memtrackBytes)
    }
}
