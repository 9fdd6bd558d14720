// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// Counts of what was lost, by the names of the region's fields, and what the shim used. A count that a file does not
/// have is 0: newer versions add some.
struct CompanionHealth: Codable {
    private var counts: [String: UInt64] = [:]

    private static let healthFields: [(String, any WritableKeyPath<RegionHealth, UInt64> & Sendable)] = [
        ("overflowNodes", \.overflowNodes),
        ("overflowCells", \.overflowCells),
        ("reentrant", \.reentrant),
        ("truncatedStacks", \.truncatedStacks),
        ("incompleteStacks", \.incompleteStacks),
        ("foreignStacks", \.foreignStacks),
        ("untrackedBlocks", \.untrackedBlocks),
        ("untrackedBytes", \.untrackedBytes),
        ("unknownFrees", \.unknownFrees),
        ("earlyBlocks", \.earlyBlocks),
        ("regionRefusals", \.regionRefusals),
        ("sharedBankCalls", \.sharedBankCalls),
        ("lostMarkers", \.lostMarkers),
        ("lostGauges", \.lostGauges),
        ("childrenLost", \.childrenLost),
        ("verifiedStacks", \.verifiedStacks),
        ("verifyMismatches", \.verifyMismatches),
        ("verifySkipped", \.verifySkipped),
        ("uncountedAllocations", \.uncountedAllocations),
        ("uncountedBytes", \.uncountedBytes), ("confined", \.confined),
    ]

    private static let shimFields: [(String, any WritableKeyPath<ShimFigures, UInt64> & Sendable)] = [
        ("regionBytes", \.regionBytes),
        ("privateBytes", \.privateBytes),
        ("threadsSeen", \.threadsSeen),
        ("walks", \.walks),
        ("fullWalks", \.fullWalks),
    ]

    init(_ shim: ShimFigures) {
        for (name, path) in Self.healthFields { counts[name] = shim.health[keyPath: path] }
        for (name, path) in Self.shimFields { counts[name] = shim[keyPath: path] }
        counts["stoppedProcesses"] = UInt64(clamping: shim.stopped)
        counts["damagedRecords"] = UInt64(clamping: shim.damagedRecords)
        counts["stackDepth"] = UInt64(shim.stackDepth)
    }

    init(from decoder: any Decoder) throws {
        counts = try decoder.singleValueContainer().decode([String: UInt64].self)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(counts)
    }

    var shim: ShimFigures {
        var result = ShimFigures()
        for (name, path) in Self.healthFields { result.health[keyPath: path] = counts[name] ?? 0 }
        for (name, path) in Self.shimFields { result[keyPath: path] = counts[name] ?? 0 }
        result.stopped = Int(clamping: counts["stoppedProcesses"] ?? 0)
        result.damagedRecords = Int(clamping: counts["damagedRecords"] ?? 0)
        result.stackDepth = UInt32(clamping: counts["stackDepth"] ?? 0)
        return result
    }
}
