// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

public struct DiffRow: Sendable {
    public enum Kind: Sendable, Hashable {
        case both
        case new
        case gone
    }

    public var label: DiffLabel
    public var kind: Kind
    /// Matched by function alone: file or module has another name.
    public var isMoved: Bool
    /// Functions that only one build shows, and whose allocations the other shows here: inlined without a trace, or
    /// left out by a tail call.
    public var inlined: [String]
    public var changes: [SampleType: DiffChange]

    public func change(_ type: SampleType) -> DiffChange {
        changes[type] ?? DiffChange([0], [0])
    }
}

/// What differs between two builds, or two moments of one run.
///
/// Rows are matched by function, file and module; what is left by function and file, then function and module, then
/// by function alone; and where a function is in no stack of the other side at all, its allocations are looked for
/// at its callers.
public struct ProfileDiff: Sendable {
    /// The figures that are compared.
    public static let types: [SampleType] = [.inuseSpace, .peakSpace, .allocObjects, .allocSpace]

    public var unit: DiffUnit
    /// Number of runs.
    public var oldRuns: Int
    public var newRuns: Int
    /// How far the true peak of either side may be above the recorded one.
    public var peakDoubt: DiffDoubt
    /// The most threads that a run of either side had; 0 if unknown.
    public var oldThreads: UInt64
    public var newThreads: UInt64
    public var totals: [SampleType: DiffChange]
    /// In no order.
    public var rows: [DiffRow]

    public init(old: [LoadedProfile], new: [LoadedProfile], by unit: DiffUnit) {
        self.unit = unit
        oldRuns = old.count
        newRuns = new.count
        func slack(_ profiles: [LoadedProfile]) -> UInt64 {
            profiles.compactMap(\.profile.peak.slackBytes).max() ?? 0
        }
        func threads(_ profiles: [LoadedProfile]) -> UInt64 {
            profiles.map(\.profile.shim.threadsSeen).max() ?? 0
        }
        let doubt = DiffDoubt(old: slack(old), new: slack(new))
        peakDoubt = doubt
        (oldThreads, newThreads) = (threads(old), threads(new))
        func changes(_ old: [Counters], _ new: [Counters]) -> [SampleType: DiffChange] {
            var result: [SampleType: DiffChange] = [:]
            for type in Self.types {
                result[type] = DiffChange(
                    old.map(type.value), new.map(type.value),
                    doubt: type == .peakSpace ? doubt : DiffDoubt())
            }
            return result
        }
        let sides = (old: DiffSide(old, by: unit), new: DiffSide(new, by: unit))
        var matcher = DiffMatcher(sides.old, sides.new)
        matcher.match()
        if unit == .site { matcher.absorb() }
        let totals = changes(matcher.oldTotals, matcher.newTotals)
        self.totals = totals
        let growth = DiffGrowth(
            wholes: Self.types.map { Double(Self.whole(of: $0, totals)) }, oldRuns: old.count,
            newRuns: new.count)
        /// The line that changed most; the heaviest where none did.
        func label(_ pair: DiffMatcher.Pair, _ item: DiffSide.Item) -> DiffLabel {
            guard let found = growth.largest(pair.old?.parts ?? [], pair.new?.parts ?? []) else {
                return item.label
            }
            return (found.isNew ? sides.new : sides.old).label(of: found.part, by: unit)
        }
        let nothing = (
            old: Array(repeating: Counters(), count: old.count),
            new: Array(repeating: Counters(), count: new.count)
        )
        rows = matcher.pairs.compactMap { pair in
            guard let item = pair.new ?? pair.old else { return nil }
            return DiffRow(
                label: label(pair, item),
                kind: pair.old == nil ? .new : (pair.new == nil ? .gone : .both), isMoved: pair.isMoved,
                inlined: pair.inlined,
                changes: changes(pair.old?.runs ?? nothing.old, pair.new?.runs ?? nothing.new))
        }
    }

    /// How much a row matters: its largest change, each figure measured by what the program has of it. Live memory is
    /// measured by the peak: next to nothing may be live at the end.
    public func weight(_ row: DiffRow, _ type: SampleType?) -> Double {
        guard let type else { return Self.types.map { weight(row, $0) }.max { abs($0) < abs($1) } ?? 0 }
        let change = row.change(type)
        if change.isNoise { return 0 }
        return Double(change.change) / Double(Self.whole(of: type, totals))
    }

    private static func whole(of type: SampleType, _ totals: [SampleType: DiffChange]) -> UInt64 {
        let whole = totals[type == .inuseSpace ? .peakSpace : type]
        return max(whole?.old.magnitude ?? 0, whole?.new.magnitude ?? 0, 1)
    }

    /// What grew comes first, the most first; what shrank last, the most last.
    /// - Parameter type: nil for whatever changed most.
    public func ranked(by type: SampleType?) -> [DiffRow] {
        let keyed = rows.map { (row: $0, weight: weight($0, type), name: $0.label.sortKey) }
        return keyed.sorted { $0.weight != $1.weight ? $0.weight > $1.weight : $0.name < $1.name }.map(\.row)
    }
}

extension DiffLabel {
    var sortKey: String {
        switch self {
        case .frame(let frame, let callers):
            ([frame] + callers).map { "\($0.function) \($0.file ?? "") \($0.module)" }.joined(separator: " ")
        case .module(let path): path
        case .sizeClass(let sizeClass): String(1_000 + sizeClass)
        }
    }
}
