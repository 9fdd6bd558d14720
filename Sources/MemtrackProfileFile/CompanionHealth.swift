// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile

/// Counts of what was lost, by the names of the region's fields, and what the shim used.
struct CompanionHealth: Codable {
    private var counts: [String: UInt64]

    init(_ shim: ShimFigures) {
        counts = shim.counts
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
        result.counts = counts
        result.stackDepth = UInt32(clamping: counts["stackDepth"] ?? 0)
        return result
    }
}
