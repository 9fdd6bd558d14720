// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// The images of one process, in order: it has replaced itself by `exec` between each two.
public struct ProcessImages: Sendable {
    /// Never empty.
    public var images: [ProcessRecord]

    /// What it is now, or was at its end.
    public var last: ProcessRecord { images[images.count - 1] }

    /// The last one is counted, and no other has taken its place that is not.
    public var isLiveKnown: Bool { last.totals != nil && !last.wasReplaced }

    /// Programs that it was before, each once, by the names of their files.
    public var earlier: [String] {
        let own = Frame.baseName(last.executable)
        var result: [String] = []
        for name in images.map({ Frame.baseName($0.executable) }) where name != own && !result.contains(name)
        {
            result.append(name)
        }
        return result
    }

    /// Allocations of all images, and the largest of their peaks, because they were one after the other. What is live is the
    /// last one's, unless that was replaced by one that is not counted. nil where none was counted.
    public var totals: Counters? {
        let counted = images.compactMap(\.totals)
        guard let largest = counted.max(by: { $0.peakBytes < $1.peakBytes }) else { return nil }
        var sum = Counters()
        for counters in counted.dropLast(isLiveKnown ? 1 : 0) { sum += counters.settled }
        if isLiveKnown, let own = last.totals { sum += own }
        sum.peakBlocks = largest.peakBlocks
        sum.peakBytes = largest.peakBytes
        return sum
    }

    /// As last seen.
    public var figures: ProcessFigures? { images.last { $0.figures != nil }?.figures }
}

extension [ProcessRecord] {
    /// By process, in the order of their start. A number that comes again, and not by `exec`, is a later process's.
    public var byProcess: [ProcessImages] {
        let order = indices.sorted {
            self[$0].createdMonotonicNanoseconds != self[$1].createdMonotonicNanoseconds
                ? self[$0].createdMonotonicNanoseconds < self[$1].createdMonotonicNanoseconds : $0 < $1
        }
        var result: [ProcessImages] = []
        var latest: [Int32: Int] = [:]
        for record in order.map({ self[$0] }) {
            if let place = latest[record.pid], result[place].last.wasReplaced {
                result[place].images.append(record)
            } else {
                latest[record.pid] = result.count
                result.append(ProcessImages(images: [record]))
            }
        }
        return result
    }
}

extension SessionSummary {
    /// What images held that `exec` has replaced: it counts as freed.
    public var freedByExec: (blocks: Int64, bytes: Int64) {
        let held = processes.filter(\.wasReplaced).compactMap(\.totals)
        return (
            blocks: held.reduce(0) { $0 &+ $1.liveBlocks }, bytes: held.reduce(0) { $0 &+ $1.liveBytes }
        )
    }
}
