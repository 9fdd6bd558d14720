// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// Finds the items of two sides that are the same, in steps from strict to lenient.
struct DiffMatcher {
    struct Pair {
        var old: DiffSide.Item?
        var new: DiffSide.Item?
        var isMoved = false
        var inlined: [String] = []
    }

    private var old: DiffSide
    private var new: DiffSide
    private(set) var pairs: [Pair] = []
    let oldTotals: [Counters]
    let newTotals: [Counters]

    /// How far the allocations of a function may be from what its caller has gained, for the two to be one.
    private static let tolerance = 0.1

    init(_ old: DiffSide, _ new: DiffSide) {
        self.old = old
        self.new = new
        oldTotals = old.totals
        newTotals = new.totals
    }

    mutating func match() {
        match(isMoved: false) { $0 }
        match(isMoved: true) { DiffKey(function: $0.function, file: $0.file) }
        match(isMoved: true) { DiffKey(function: $0.function, module: $0.module) }
        match(isMoved: true) { DiffKey(function: $0.function) }
        for item in old.items.values { pairs.append(Pair(old: item)) }
        for item in new.items.values { pairs.append(Pair(new: item)) }
    }

    /// Pairs what has the same reduced key on both sides. Where there are several of one key, they are one row: which
    /// is which, nobody can tell.
    private mutating func match(isMoved: Bool, _ reduce: (DiffKey) -> DiffKey) {
        let oldGroups = Dictionary(grouping: old.items.keys.filter(Self.canMove(isMoved)), by: reduce)
        let newGroups = Dictionary(grouping: new.items.keys.filter(Self.canMove(isMoved)), by: reduce)
        for (key, oldKeys) in oldGroups {
            guard let newKeys = newGroups[key] else { continue }
            var pair = Pair(isMoved: isMoved)
            pair.old = Self.pool(oldKeys.compactMap { old.remove($0) })
            pair.new = Self.pool(newKeys.compactMap { new.remove($0) })
            pairs.append(pair)
        }
    }

    /// Code without names is the same only in the same module, and a module only under its own name.
    private static func canMove(_ isMoved: Bool) -> (DiffKey) -> Bool {
        { key in !isMoved || !(key.function.isEmpty || key.function == DiffNames.unnamed) }
    }

    private static func pool(_ items: [DiffSide.Item]) -> DiffSide.Item? {
        guard var result = items.max(by: { $0.weight < $1.weight }) else { return nil }
        result.keys = items.flatMap(\.keys)
        result.parts = items.flatMap(\.parts)
        for run in result.runs.indices {
            result.runs[run] = items.reduce(into: Counters()) { $0 += $1.runs[run] }
        }
        return result
    }

    /// A function that is in no stack of the other side is not there, or its frame is: inlined without debug
    /// information, or gone from the stack because it ended in a tail call. Then its caller has, over there, just as many
    /// allocations more.
    mutating func absorb() {
        absorb(from: \.old, missing: \.new, callers: old.callers, known: new.functions)
        absorb(from: \.new, missing: \.old, callers: new.callers, known: old.functions)
    }

    private mutating func absorb(
        from side: WritableKeyPath<Pair, DiffSide.Item?>, missing: WritableKeyPath<Pair, DiffSide.Item?>,
        callers: [DiffKey: [(functions: [String], allocations: UInt64)]], known: Set<String>
    ) {
        var hidden: [String: [Int]] = [:]
        for (place, pair) in pairs.enumerated() {
            guard pair[keyPath: missing] == nil, let item = pair[keyPath: side],
                item.keys.allSatisfy({ !known.contains($0.function) }),
                let caller = Self.caller(of: item, callers, known)
            else { continue }
            hidden[caller, default: []].append(place)
        }
        var gone: Set<Int> = []
        for (caller, places) in hidden {
            // The caller's row, which need not allocate itself where the function is still seen.
            let rows = pairs.indices.filter { place in
                pairs[place][keyPath: missing]?.keys.contains { $0.function == caller } ?? false
            }
            guard rows.count == 1, let row = rows.first else { continue }
            let gained =
                Self.amount(pairs[row][keyPath: missing]) - Self.amount(pairs[row][keyPath: side])
            let amounts = places.map { Self.amount(pairs[$0][keyPath: side]) }
            for place in Self.choice(of: amounts, for: gained).map({ places[$0] }) {
                guard let item = pairs[place][keyPath: side] else { continue }
                pairs[row].inlined.append(item.keys.first?.function ?? "")
                if var target = pairs[row][keyPath: side] {
                    for run in target.runs.indices { target.runs[run] += item.runs[run] }
                    pairs[row][keyPath: side] = target
                } else {
                    var target = item
                    target.label = pairs[row][keyPath: missing]?.label ?? item.label
                    pairs[row][keyPath: side] = target
                }
                gone.insert(place)
            }
            pairs[row].inlined.sort()
        }
        pairs = pairs.indices.filter { !gone.contains($0) }.map { pairs[$0] }
    }

    /// The nearest caller that the other side knows, through which most allocations came.
    private static func caller(
        of item: DiffSide.Item, _ callers: [DiffKey: [(functions: [String], allocations: UInt64)]],
        _ known: Set<String>
    ) -> String? {
        var sums: [String: UInt64] = [:]
        for key in item.keys {
            for (functions, allocations) in callers[key] ?? [] {
                if let caller = functions.first(where: known.contains) {
                    sums[caller, default: 0] &+= allocations
                }
            }
        }
        return sums.max { $0.value != $1.value ? $0.value < $1.value : $0.key > $1.key }?.key
    }

    /// Allocations and bytes, the mean of the runs.
    private static func amount(_ item: DiffSide.Item?) -> SIMD2<Double> {
        guard let runs = item?.runs, !runs.isEmpty else { return .zero }
        let sum = runs.reduce(into: SIMD2<Double>.zero) {
            $0 += SIMD2(Double($1.allocations), Double($1.allocatedBytes))
        }
        return sum / Double(runs.count)
    }

    /// Which functions a caller's gain is made of: one of them may be a real change, and not hidden at all. All
    /// combinations are tried, of the largest functions where there are many.
    private static func choice(of amounts: [SIMD2<Double>], for gained: SIMD2<Double>) -> [Int] {
        let places = Array(amounts.indices.sorted { amounts[$0].y > amounts[$1].y }.prefix(10))
        var best: (error: Double, subset: Int) = (tolerance, 0)
        for subset in 1..<(1 << places.count) {
            var sum = SIMD2<Double>.zero
            for (bit, place) in places.enumerated() where subset >> bit & 1 == 1 { sum += amounts[place] }
            guard sum.x > 0, sum.y > 0 else { continue }
            let off = (sum - gained) / sum
            let error = max(abs(off.x), abs(off.y))
            if error < best.error { best = (error, subset) }
        }
        return places.indices.filter { best.subset >> $0 & 1 == 1 }.map { places[$0] }
    }
}
