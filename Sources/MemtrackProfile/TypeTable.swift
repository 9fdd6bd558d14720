// SPDX-License-Identifier: Apache-2.0
public import MemtrackObjects

/// Where objects of one type were allocated.
public struct TypeSite: Sendable, Hashable {
    public var frame: Frame
    public var count: Int
    /// Of the objects themselves.
    public var bytes: UInt64

    public init(frame: Frame, count: Int, bytes: UInt64) {
        self.frame = frame
        self.count = count
        self.bytes = bytes
    }

    /// Most bytes first.
    static func ranked(_ sites: [TypeSite]) -> [TypeSite] {
        sites.sorted { $0.bytes != $1.bytes ? $0.bytes > $1.bytes : Frame.precedes($0.frame, $1.frame) }
    }
}

/// The live objects of one type; or, without a runtime, the blocks of one function that are no objects.
@dynamicMemberLookup
public struct TypeRow: Sendable, Hashable {
    /// nil for blocks that are no objects: these are named by where they were allocated.
    public var runtime: ObjectRuntime?
    /// Untrusted text.
    public var name: String
    public var sum = ObjectSum()
    /// Since `TypeTable.changeSince`; `bytesChange` is that of `totalBytes`.
    public var countChange = 0
    public var bytesChange: Int64 = 0
    /// Most bytes first.
    public var sites: [TypeSite] = []

    public init(runtime: ObjectRuntime?, name: String) {
        self.runtime = runtime
        self.name = name
    }

    public subscript<Value>(dynamicMember path: WritableKeyPath<ObjectSum, Value>) -> Value {
        get { sum[keyPath: path] }
        set { sum[keyPath: path] = newValue }
    }

    public var totalBytes: UInt64 { sum.totalBytes }
    /// `Python`, `C++`, `Swift`.
    public var runtimeName: String? { runtime?.rawValue }
}

/// What the live memory of a session is, by type.
@dynamicMemberLookup
public struct TypeTable: Sendable {
    /// By size.
    public var rows: [TypeRow] = []
    /// Its blocks and bytes are the sums over `rows`, what belongs to objects included.
    public var reading = CensusReading()
    /// Seconds from the start of the session to the reading.
    public var elapsed: Double = 0
    /// Of the moment at which the program was about to end: it has waited for the reading.
    public var isAtExit = false
    /// `elapsed` of the table that the changes of the rows are against; nil for the start, when there was nothing.
    public var changeSince: Double?
    /// How objects came to be counted, where there is more than one way: sentences.
    public var ways: [String] = []
    /// Processes without types, and why: a plain sentence for each reason.
    public var problems: [String] = []

    public init() {}

    public subscript<Value>(dynamicMember path: WritableKeyPath<CensusReading, Value>) -> Value {
        get { reading[keyPath: path] }
        set { reading[keyPath: path] = newValue }
    }

    /// Of rows that a filter has taken out: the totals stay those of all.
    private var hidden = (objects: 0, tracked: 0)

    public var objects: Int { rows.reduce(hidden.objects) { $0 + ($1.runtime == nil ? 0 : $1.count) } }
    public var trackedObjects: Int { rows.reduce(hidden.tracked) { $0 + $1.trackedCount } }

    /// The rows that a filter admits, to be shown; the totals are still those of all.
    public func showing(_ filter: TypeFilter?) -> TypeTable {
        guard let filter else { return self }
        var result = self
        result.rows = rows.filter(filter.admits)
        result.hidden = (
            hidden.objects + objects - result.objects, hidden.tracked + trackedObjects - result.trackedObjects
        )
        return result
    }

    /// The rows that a filter admits and nothing else, to be kept: the totals are those of the rows.
    public func selecting(_ filter: TypeFilter?) -> TypeTable {
        guard let filter else { return self }
        var result = self
        result.rows = rows.filter(filter.admits)
        result.hidden = (0, 0)
        result.blocks = result.rows.reduce(0) { $0 + $1.count + $1.ownedBlocks }
        result.bytes = result.rows.reduce(0) { $0 &+ $1.totalBytes }
        return result
    }

    /// Fills in what has changed since an earlier table. Types that have vanished get a row.
    public func compared(with earlier: TypeTable?) -> TypeTable {
        var result = self
        result.changeSince = earlier?.elapsed
        var before: [TypeKey: TypeRow] = [:]
        for row in earlier?.rows ?? [] { before[TypeKey(row)] = row }
        for index in result.rows.indices {
            let old = before.removeValue(forKey: TypeKey(result.rows[index]))
            let row = result.rows[index]
            result.rows[index].countChange = row.count - (old?.count ?? 0)
            result.rows[index].bytesChange =
                Int64(clamping: row.totalBytes) &- Int64(clamping: old?.totalBytes ?? 0)
        }
        for old in before.values where old.count > 0 {
            var row = TypeRow(runtime: old.runtime, name: old.name)
            row.countChange = -old.count
            row.bytesChange = -Int64(clamping: old.totalBytes)
            result.rows.append(row)
        }
        return result
    }

    /// Rows in an order of `--sort`. Ties go by size, as where nothing has grown, then by name: the order is always the same.
    public func sorted(by order: SiteOrder) -> [TypeRow] {
        func weight(_ row: TypeRow) -> Int64 {
            switch order {
            case .growth: row.bytesChange
            case .count: Int64(row.count)
            case .live, .allocated, .peak: Int64(clamping: row.totalBytes)
            }
        }
        return rows.sorted { left, right in
            let weights = (weight(left), weight(right))
            if weights.0 != weights.1 { return weights.0 > weights.1 }
            if left.totalBytes != right.totalBytes { return left.totalBytes > right.totalBytes }
            return left.name != right.name
                ? left.name < right.name : (left.runtime?.rawValue ?? "") < (right.runtime?.rawValue ?? "")
        }
    }
}

struct TypeKey: Hashable {
    var runtime: ObjectRuntime?
    var name: String

    init(runtime: ObjectRuntime?, name: String) {
        self.runtime = runtime
        self.name = name
    }

    init(_ row: TypeRow) { self.init(runtime: row.runtime, name: row.name) }
}

/// Picks types by a regular expression on their names, as `--type` does.
public struct TypeFilter: Sendable {
    private let pattern: TextPattern

    public init(_ text: String) throws(ProfileError) {
        pattern = try TextPattern(text, option: "--type")
    }

    public var text: String { pattern.text }

    public func admits(_ row: TypeRow) -> Bool { admits(name: row.name) }

    func admits(name: String) -> Bool { pattern.matches(name) }
}
