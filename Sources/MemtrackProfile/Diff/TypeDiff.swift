// SPDX-License-Identifier: Apache-2.0
public import MemtrackObjects

/// A type in two builds, or at two moments.
public struct TypeDiffRow: Sendable {
    /// nil for all blocks that are no objects, in one row: call sites tell these apart.
    public var runtime: ObjectRuntime?
    /// Untrusted text.
    public var name: String
    public var kind: DiffRow.Kind
    public var count: DiffChange
    /// With owned memory.
    public var bytes: DiffChange
    /// Where the new build's objects, or those that have gone, were allocated: of its last run.
    public var sites: [TypeSite]

    /// `Python`, `C++`, `Swift`.
    public var runtimeName: String? { runtime?.rawValue }
}

/// How the objects of two builds, or of two moments of one run, differ: types that grew. Types are the same by runtime and
/// name. Each side's figures are those of its last look.
public struct TypeDiff: Sendable {
    /// Objects, and blocks that are none and belong to none.
    public var count: DiffChange
    public var bytes: DiffChange
    /// What grew comes first, the most first; what shrank last.
    public var rows: [TypeDiffRow]
    /// Seconds since the start at which each side's objects were looked at: of its last run.
    public var oldElapsed: Double
    public var newElapsed: Double

    /// Why there is nothing to compare, where one side alone has types. A plain sentence, of untrusted names.
    public enum Absence: Error, Sendable, Hashable {
        /// Nobody asked for types.
        case bothSides
        /// What the first profile without types is called.
        case profile(String)
    }

    /// - Parameter filter: only types whose name matches; the totals are those of all.
    public init(
        old: [LoadedProfile], new: [LoadedProfile], filter: TypeFilter? = nil
    ) throws(Absence) {
        let all = old + new
        let lacking = all.filter { ($0.summary.types?.processes ?? 0) == 0 }
        if lacking.count == all.count { throw .bothSides }
        if let first = lacking.first { throw .profile(first.name) }
        let sides = (old.compactMap(\.summary.types), new.compactMap(\.summary.types))
        oldElapsed = sides.0.last?.elapsed ?? 0
        newElapsed = sides.1.last?.elapsed ?? 0
        let runs = (sides.0.map(Self.byKey), sides.1.map(Self.byKey))
        func change(_ rows: ([TypeRow?], [TypeRow?]), _ value: (TypeRow) -> Int64) -> DiffChange {
            DiffChange(rows.0.map { $0.map(value) ?? 0 }, rows.1.map { $0.map(value) ?? 0 })
        }
        let keys = Set((runs.0 + runs.1).flatMap(\.keys))
        rows = keys.compactMap { key in
            let found = (runs.0.map { $0[key] }, runs.1.map { $0[key] })
            let isOld = found.0.contains { ($0?.count ?? 0) > 0 }
            let isNew = found.1.contains { ($0?.count ?? 0) > 0 }
            guard isOld || isNew else { return nil }
            let row = TypeDiffRow(
                runtime: key.runtime, name: key.name, kind: isOld ? (isNew ? .both : .gone) : .new,
                count: change(found) { Int64(clamping: $0.count) },
                bytes: change(found) { Int64(clamping: $0.totalBytes) },
                sites: (isNew ? found.1 : found.0).compactMap { $0 }.last?.sites ?? [])
            if let filter, key.runtime == nil || !filter.admits(row) { return nil }
            return row
        }
        func sum(_ value: (TypeTable) -> Int64) -> DiffChange {
            DiffChange(sides.0.map(value), sides.1.map(value))
        }
        count = sum { Int64(clamping: $0.rows.reduce(0) { $0 + $1.count }) }
        bytes = sum { Int64(clamping: $0.bytes) }
        rows.sort { left, right in
            let weights = (Self.weight(left), Self.weight(right))
            if weights.0 != weights.1 { return weights.0 > weights.1 }
            return (left.name, left.runtime?.rawValue ?? "") < (right.name, right.runtime?.rawValue ?? "")
        }
    }

    /// What one build's runs differ by does not count.
    public static func weight(_ row: TypeDiffRow) -> Int64 { row.bytes.isNoise ? 0 : row.bytes.change }

    private static func byKey(_ table: TypeTable) -> [TypeKey: TypeRow] {
        var result: [TypeKey: TypeRow] = [:]
        for row in table.rows {
            let key = row.runtime == nil ? TypeKey(runtime: nil, name: "") : TypeKey(row)
            var sum = result[key] ?? TypeRow(runtime: key.runtime, name: key.name)
            sum.count += row.count
            sum.bytes &+= row.bytes
            sum.ownedBytes &+= row.ownedBytes
            if key.runtime != nil { sum.sites = row.sites }
            result[key] = sum
        }
        return result
    }
}

extension TypeFilter {
    public func admits(_ row: TypeDiffRow) -> Bool { admits(name: row.name) }
}
