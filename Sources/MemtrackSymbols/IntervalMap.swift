// SPDX-License-Identifier: Apache-2.0

/// Half-open address range with what it stands for.
struct Interval {
    var start: UInt64
    var end: UInt64
    /// Where intervals overlap, the one with the greatest rank is found.
    var rank: Int
    /// Index into an array that the owner of the map keeps.
    var value: Int
}

/// Finds the highest-ranked of many, possibly nested or overlapping, intervals at an address in O(log n).
///
/// The overlaps are resolved once, when the map is built (O(n log n)): what is kept is a list of
/// disjoint pieces in ascending order.
struct IntervalMap {
    private var starts: [UInt64] = []
    private var ends: [UInt64] = []
    private var values: [Int32] = []

    var isEmpty: Bool { starts.isEmpty }

    /// Empty and inverted intervals are left out; so is what does not fit an Int32 index.
    init(_ intervals: [Interval]) {
        let sorted = intervals.filter { $0.start < $0.end && $0.value <= Int32.max }
            .sorted { $0.start < $1.start }
        var active = RankHeap()
        var next = 0
        var position: UInt64 = 0
        while next < sorted.count || active.top != nil {
            if active.top == nil { position = sorted[next].start }
            while next < sorted.count, sorted[next].start <= position {
                active.push(sorted[next])
                next += 1
            }
            while let top = active.top, top.end <= position { active.pop() }
            guard let top = active.top else { continue }
            let limit = next < sorted.count ? min(top.end, sorted[next].start) : top.end
            append(from: position, to: limit, value: Int32(top.value))
            position = limit
        }
    }

    /// The value of the highest-ranked interval that contains the address.
    func value(at address: UInt64) -> Int? {
        // First piece that starts beyond the address; the one before it may contain it.
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address < ends[low - 1] else { return nil }
        return Int(values[low - 1])
    }

    private mutating func append(from start: UInt64, to end: UInt64, value: Int32) {
        if let last = values.last, last == value, ends[ends.count - 1] == start {
            ends[ends.count - 1] = end
            return
        }
        starts.append(start)
        ends.append(end)
        values.append(value)
    }
}

/// A binary heap with the greatest rank on top. It rarely holds more than the depth of the nesting.
private struct RankHeap {
    private var items: [Interval] = []

    var top: Interval? { items.first }

    mutating func push(_ item: Interval) {
        items.append(item)
        var child = items.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard items[parent].rank < items[child].rank else { return }
            items.swapAt(parent, child)
            child = parent
        }
    }

    mutating func pop() {
        guard let last = items.popLast(), !items.isEmpty else { return }
        items[0] = last
        var parent = 0
        while true {
            var best = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < items.count && items[child].rank > items[best].rank {
                best = child
            }
            guard best != parent else { return }
            items.swapAt(parent, best)
            parent = best
        }
    }
}
