// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProfile

// A companion must always be one that is read back, however long the run was: what there may be any number of is bounded.

extension Companion {
    /// 5,000 points are more than any screen has columns.
    static let mostCheckpoints = 5_000

    /// The checkpoints to keep: evenly over the run, the first, the last and those with the highest figures among them.
    static func kept(of series: Series, most: Int = mostCheckpoints) -> [CheckpointSummary] {
        let all = series.checkpoints
        // With those of the highest figures there may be three more: what was thinned out once stays as it is.
        if all.count <= most + 3 { return all }
        var places = Set((0..<most).map { $0 * (all.count - 1) / (most - 1) })
        let peaks = [series.rss, series.totalRSS, series.live].filter { $0.count > 0 }.map(\.peakNumber)
        for (place, checkpoint) in all.enumerated() where peaks.contains(checkpoint.number) {
            places.insert(place)
        }
        return places.sorted().map { all[$0] }
    }

    /// What a reader must know of what was left out.
    var omissions: [String] {
        var result: [String] = []
        if let count = checkpointCount, count > checkpoints.count {
            result.append(
                "Of \(count) checkpoints the file keeps \(checkpoints.count), evenly over the run; averages are theirs."
            )
        }
        if let count = processCount, count > processes.count {
            result.append("Of \(count) processes the file keeps the first \(processes.count).")
        }
        if let count = typeCount, let kept = objects?.second.types.count, count > kept {
            result.append("Of \(count) types the file keeps the \(kept) largest.")
        }
        return result
    }

    /// The bytes of the file, at most `limit` of them: where it would be larger, the half of what it has most of goes,
    /// until it is not.
    mutating func encoded(limit: Int) throws(ProfileFileError) -> [UInt8] {
        while true {
            let bytes = try encoded()
            let types = objects?.second.types.count ?? 0
            if bytes.count <= limit || max(processes.count, checkpoints.count, types) < 2 { return bytes }
            if processes.count >= max(checkpoints.count, types) {
                processCount = processCount ?? processes.count
                processes.removeLast(processes.count / 2)
            } else if checkpoints.count >= types {
                checkpointCount = checkpointCount ?? checkpoints.count
                checkpoints = checkpoints.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
            } else {
                typeCount = typeCount ?? types
                objects?.second.types.sort { $0.first.bytes > $1.first.bytes }
                objects?.second.types.removeLast(types / 2)
            }
        }
    }
}
