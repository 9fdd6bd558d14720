// SPDX-License-Identifier: Apache-2.0

/// Blocks of one cell: of one call stack and size class.
public struct CellShare: Sendable, Hashable {
    public var cell: UInt32
    public var count: Int
    public var bytes: UInt64

    public init(cell: UInt32, count: Int, bytes: UInt64) {
        self.cell = cell
        self.count = count
        self.bytes = bytes
    }
}

/// All live objects of one type.
public struct CensusType: Sendable, Hashable {
    public var runtime: ObjectRuntime
    /// Untrusted text.
    public var name: String
    public var sum = ObjectSum()
    /// Where the objects were allocated, most bytes first.
    public var cells: [CellShare] = []

    public init(runtime: ObjectRuntime, name: String) {
        self.runtime = runtime
        self.name = name
    }
}

/// What the live blocks of a process are.
public struct CensusResult: Sendable {
    /// In no particular order.
    public var types: [CensusType] = []
    /// Blocks that are no objects and belong to none, by where they were allocated.
    public var untyped: [CellShare] = []
    public var reading = CensusReading()

    public init() {}
}
