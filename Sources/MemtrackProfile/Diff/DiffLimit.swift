// SPDX-License-Identifier: Apache-2.0

/// A limit on growth, as `--fail-above` takes it: `5%`, `64K`, `100allocs`.
public struct DiffLimit: Sendable, Hashable {
    public enum Amount: Sendable, Hashable {
        /// Part of the old total, 0.05 for 5 %.
        case share(Double)
        case bytes(Int64)
        case allocations(Int64)
    }

    public var text: String
    public var amount: Amount

    /// nil where the text is no limit.
    public init?(_ text: String) {
        self.text = text
        if text.hasSuffix("%") {
            guard let percent = Double(text.dropLast()), percent >= 0, percent.isFinite else { return nil }
            amount = .share(percent / 100)
        } else if text.hasSuffix("allocs") {
            guard let count = Int64(text.dropLast(6)), count >= 0 else { return nil }
            amount = .allocations(count)
        } else {
            var digits = Substring(text.hasSuffix("B") ? text.dropLast() : text[...])
            let powers: [Character: Double] = ["K": 1_024, "M": 1_048_576, "G": 1_073_741_824]
            let factor = digits.last.flatMap { powers[$0] }
            if factor != nil { digits = digits.dropLast() }
            guard let value = Double(digits), value >= 0, value < 1e9 else { return nil }
            amount = .bytes(Int64(value * (factor ?? 1)))
        }
    }

    /// The figures that the limit is about, where the user has not chosen one.
    func types(chosen: SampleType?) -> [SampleType] {
        switch amount {
        case .share: chosen.map { [$0] } ?? ProfileDiff.types
        case .bytes: chosen.flatMap { $0.isSpace ? [$0] : nil } ?? [.inuseSpace, .peakSpace]
        case .allocations: [.allocObjects]
        }
    }

    /// Whether a figure has grown by more.
    func isExceeded(_ change: DiffChange, oldTotal: Int64) -> Bool {
        guard change.change > 0 else { return false }
        switch amount {
        case .share(let share): return Double(change.change) > share * Double(max(0, oldTotal))
        case .bytes(let limit), .allocations(let limit): return change.change > limit
        }
    }
}

/// A row, or the total, that has grown beyond a limit.
public struct DiffOffender: Sendable {
    /// nil for the total.
    public var row: DiffRow?
    public var type: SampleType
    public var change: DiffChange
    public var limit: DiffLimit
}

extension ProfileDiff {
    /// Of each row the figure that has grown most, measured by its total; totals first, then rows as `ranked`.
    public func offenders(_ limits: [DiffLimit], chosen: SampleType?) -> [DiffOffender] {
        candidates(chosen).compactMap { row, changes in
            worst(changes, limits, chosen) { !$0.isNoise }?.of(row)
        }
    }

    /// What would be an offender if its growth were not within noise.
    public func suspects(_ limits: [DiffLimit], chosen: SampleType?) -> [DiffOffender] {
        candidates(chosen).compactMap { row, changes in
            guard worst(changes, limits, chosen, where: { !$0.isNoise }) == nil else { return nil }
            return worst(changes, limits, chosen, where: \.isNoise)?.of(row)
        }
    }

    private func candidates(_ chosen: SampleType?) -> [(row: DiffRow?, changes: [SampleType: DiffChange])] {
        [(nil, totals)] + ranked(by: chosen).map { ($0, $0.changes) }
    }

    private func worst(
        _ changes: [SampleType: DiffChange], _ limits: [DiffLimit], _ chosen: SampleType?,
        where counts: (DiffChange) -> Bool
    ) -> Excess? {
        var found: Excess?
        for limit in limits {
            for type in limit.types(chosen: chosen) {
                let total = totals[type]?.old ?? 0
                guard let change = changes[type], counts(change), limit.isExceeded(change, oldTotal: total)
                else { continue }
                let share = Double(change.change) / Double(max(1, total))
                if share > found?.share ?? -1 {
                    found = Excess(share: share, type: type, change: change, limit: limit)
                }
            }
        }
        return found
    }
}

/// A figure beyond a limit.
private struct Excess {
    /// Of the figure's total.
    var share: Double
    var type: SampleType
    var change: DiffChange
    var limit: DiffLimit

    func of(_ row: DiffRow?) -> DiffOffender {
        DiffOffender(row: row, type: type, change: change, limit: limit)
    }
}
