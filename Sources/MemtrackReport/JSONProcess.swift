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
    @OrNull var totals: JSONCounters?
    @OrNull var figures: JSONFigures?

    init(_ record: ProcessRecord) {
        pid = record.pid
        parentPid = record.parentPID
        executable = record.executable
        arguments = record.arguments
        origin = record.origin == .fork ? "fork" : "exec"
        running = record.isAlive
        totals = record.totals.map(JSONCounters.init)
        figures = record.figures.map(JSONFigures.init)
    }
}

/// Counts of what was lost, by the names of the region's fields.
struct JSONHealth: Encodable {
    var overflowNodes: UInt64
    var overflowCells: UInt64
    var reentrant: UInt64
    var truncatedStacks: UInt64
    var incompleteStacks: UInt64
    var foreignStacks: UInt64
    var untrackedBlocks: UInt64
    var untrackedBytes: UInt64
    var unknownFrees: UInt64
    var earlyBlocks: UInt64
    var regionRefusals: UInt64
    var sharedBankCalls: UInt64
    var lostMarkers: UInt64
    var lostGauges: UInt64
    var childrenLost: UInt64
    var verifiedStacks: UInt64
    var verifyMismatches: UInt64
    var verifySkipped: UInt64
    var uncountedAllocations: UInt64
    var uncountedBytes: UInt64
    var confined: UInt64
    var damagedRecords: Int
    var stoppedProcesses: Int
    var regionBytes: UInt64
    var privateBytes: UInt64
    var threadsSeen: UInt64
    var walks: UInt64
    var fullWalks: UInt64

    init(_ shim: ShimFigures) {
        let health = shim.health
        overflowNodes = health.overflowNodes
        overflowCells = health.overflowCells
        reentrant = health.reentrant
        truncatedStacks = health.truncatedStacks
        incompleteStacks = health.incompleteStacks
        foreignStacks = health.foreignStacks
        untrackedBlocks = health.untrackedBlocks
        untrackedBytes = health.untrackedBytes
        unknownFrees = health.unknownFrees
        earlyBlocks = health.earlyBlocks
        regionRefusals = health.regionRefusals
        sharedBankCalls = health.sharedBankCalls
        lostMarkers = health.lostMarkers
        lostGauges = health.lostGauges
        childrenLost = health.childrenLost
        verifiedStacks = health.verifiedStacks
        verifyMismatches = health.verifyMismatches
        verifySkipped = health.verifySkipped
        uncountedAllocations = health.uncountedAllocations
        uncountedBytes = health.uncountedBytes
        confined = health.confined
        damagedRecords = shim.damagedRecords
        stoppedProcesses = shim.stopped
        regionBytes = shim.regionBytes
        privateBytes = shim.privateBytes
        threadsSeen = shim.threadsSeen
        walks = shim.walks
        fullWalks = shim.fullWalks
    }
}
