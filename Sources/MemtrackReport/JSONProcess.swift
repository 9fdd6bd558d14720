// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

struct JSONFigures: Encodable {
    var rssBytes: UInt64
    var vmsBytes: UInt64
    @OrNull var peakRssBytes: UInt64?
    @OrNull var swapBytes: UInt64?
    @OrNull var pssBytes: UInt64?
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
}

struct JSONProcess: Encodable {
    var pid: Int32
    var parentPid: Int32
    var executable: String
    var arguments: [String]
    /// `exec` or `fork`.
    var origin: String
    var running: Bool
    /// By `exec`: what it held then counts as freed.
    var replaced: Bool
    @OrNull var totals: JSONCounters?
    @OrNull var figures: JSONFigures?

    init(_ record: ProcessRecord) {
        pid = record.pid
        parentPid = record.parentPID
        executable = record.executable
        arguments = record.arguments
        origin = record.origin == .fork ? "fork" : "exec"
        running = record.isAlive
        replaced = record.wasReplaced
        totals = record.totals.map(JSONCounters.init)
        figures = record.figures.map(JSONFigures.init)
    }
}
