// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// What one call stack, with its lines, adds to a row. Rows are matched by names alone; the parts tell which line of a
/// function it was that changed.
struct DiffPart {
    /// Hash of the callers' names, without lines.
    var path: Int
    /// Hash of all lines of the stack, the site's included.
    var lines: Int
    /// The site's own line.
    var line: Int
    /// Place of its profile among those of its side, and its names there.
    var run: Int
    var site: FrameID
    var stack: StackID
    var counters: Counters

    /// The same stack of several runs, added up.
    static func merged(_ parts: [DiffPart]) -> [DiffPart] {
        struct Key: Hashable {
            var path: Int
            var lines: Int
        }
        var places: [Key: Int] = [:]
        var result: [DiffPart] = []
        for part in parts {
            let key = Key(path: part.path, lines: part.lines)
            if let place = places[key] {
                result[place].counters += part.counters
            } else {
                places[key] = result.count
                result.append(part)
            }
        }
        return result
    }
}

/// Takes the old side's parts of a row off the new side's: what is left has changed.
struct DiffGrowth {
    /// Divisors of the figures of `ProfileDiff.types`, by which they can be compared with each other.
    var wholes: [Double]
    var oldRuns: Int
    var newRuns: Int

    /// The part that changed most, in the direction in which all of them together did; nil where none did.
    func largest(_ old: [DiffPart], _ new: [DiffPart]) -> (part: DiffPart, isNew: Bool)? {
        let old = DiffPart.merged(old)
        var new = DiffPart.merged(new)
        new.sort { $0.line < $1.line }
        let partners = Self.partners(old, new)
        var changes: [(part: DiffPart, isNew: Bool, change: [Double])] = []
        var isMatched = [Bool](repeating: false, count: old.count)
        for (part, partner) in zip(new, partners) {
            if let partner { isMatched[partner] = true }
            changes.append((part, true, change(partner.map { old[$0].counters }, part.counters)))
        }
        for (place, part) in old.enumerated() where !isMatched[place] {
            changes.append((part, false, change(part.counters, nil)))
        }
        let sum = wholes.indices.map { figure in changes.reduce(0) { $0 + $1.change[figure] } }
        let isRise = Self.main(sum) >= 0
        let best = changes.max { left, right in
            let weights = (Self.main(left.change), Self.main(right.change))
            return isRise ? weights.0 < weights.1 : weights.0 > weights.1
        }
        guard let best, Self.main(best.change) != 0 else { return nil }
        return (best.part, best.isNew)
    }

    private func change(_ old: Counters?, _ new: Counters?) -> [Double] {
        zip(ProfileDiff.types, wholes).map { type, whole in
            let before = old.map { Double(type.value(of: $0)) / Double(max(1, oldRuns)) } ?? 0
            let after = new.map { Double(type.value(of: $0)) / Double(max(1, newRuns)) } ?? 0
            return (after - before) / max(1, whole)
        }
    }

    private static func main(_ change: [Double]) -> Double { change.max { abs($0) < abs($1) } ?? 0 }

    /// What two parts have in common, from the strictest to the most lenient.
    private enum Likeness: CaseIterable {
        /// The same callers, and all figures of what was allocated and kept.
        case figures
        /// The same callers, and as much allocated: less or more of it was freed.
        case allocated
        /// The same callers, on the same lines.
        case lines
        /// The same callers, and blocks of one average size.
        case size
        /// Other callers, and all figures.
        case moved
        /// The same callers, in the order of their lines.
        case order
    }

    private struct Key: Hashable {
        var path = 0
        var figures: [Int64] = []
    }

    private static func key(_ part: DiffPart, _ likeness: Likeness) -> Key {
        let counters = part.counters
        let allocated = [Int64(bitPattern: counters.allocations), Int64(bitPattern: counters.allocatedBytes)]
        let all = allocated + [counters.liveBlocks, counters.liveBytes]
        switch likeness {
        case .figures: return Key(path: part.path, figures: all)
        case .allocated: return Key(path: part.path, figures: allocated)
        case .lines: return Key(path: part.path, figures: [Int64(part.lines)])
        case .size:
            let size = counters.allocations == 0 ? 0 : counters.allocatedBytes / counters.allocations
            return Key(path: part.path, figures: [Int64(bitPattern: size)])
        case .moved: return Key(figures: all)
        case .order: return Key(path: part.path)
        }
    }

    /// Of each new part the place of the old one that it was, or nil.
    private static func partners(_ old: [DiffPart], _ new: [DiffPart]) -> [Int?] {
        var result = [Int?](repeating: nil, count: new.count)
        var left = old.indices.sorted { old[$0].line < old[$1].line }
        for likeness in Likeness.allCases {
            if left.isEmpty { break }
            // In the order of lines, the last first: the next one is taken from the end.
            var waiting: [Key: [Int]] = [:]
            for place in left.reversed() { waiting[key(old[place], likeness), default: []].append(place) }
            var taken: Set<Int> = []
            for index in new.indices where result[index] == nil {
                guard let place = waiting[key(new[index], likeness)]?.popLast() else { continue }
                result[index] = place
                taken.insert(place)
            }
            left.removeAll(where: taken.contains)
        }
        return result
    }
}
