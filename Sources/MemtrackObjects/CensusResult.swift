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
    public var count = 0
    /// Of the objects themselves.
    public var bytes: UInt64 = 0
    /// Blocks without a type that belong to one of these objects alone, and their size.
    public var ownedBlocks = 0
    public var ownedBytes: UInt64 = 0
    /// Objects that the runtime's garbage collector knows.
    public var trackedCount = 0
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
    /// Live blocks and their size in bytes: the sum of all the above.
    public var blocks = 0
    public var bytes: UInt64 = 0
    /// Entries of the live map that were being written while they were read, and were left out.
    public var torn = 0
    /// Memory of blocks that could not be read: these look like blocks without a type.
    public var unreadableBytes: UInt64 = 0

    public init() {}

    public var objects: Int { types.reduce(0) { $0 + $1.count } }
    public var trackedObjects: Int { types.reduce(0) { $0 + $1.trackedCount } }
}
