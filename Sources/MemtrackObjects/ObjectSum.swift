// SPDX-License-Identifier: Apache-2.0

/// Objects of one type, added up. The names are those of the JSON and of saved profiles.
public struct ObjectSum: Sendable, Hashable, Codable {
    public var count = 0
    /// Of the objects themselves.
    public var bytes: UInt64 = 0
    /// Blocks without a type that belong to one of these objects alone (tables, buffers), and their size.
    public var ownedBlocks = 0
    public var ownedBytes: UInt64 = 0
    /// Objects that the runtime's garbage collector knows.
    public var trackedCount = 0

    public init() {}

    public var totalBytes: UInt64 { bytes &+ ownedBytes }

    public static func += (left: inout ObjectSum, right: ObjectSum) {
        left.count &+= right.count
        left.bytes &+= right.bytes
        left.ownedBlocks &+= right.ownedBlocks
        left.ownedBytes &+= right.ownedBytes
        left.trackedCount &+= right.trackedCount
    }
}

/// How the reading of live memory went, and what it found in all. Names as in `ObjectSum`.
public struct CensusReading: Sendable, Hashable, Codable {
    /// Processes that could be read.
    public var processes = 0
    /// Live blocks and their size, objects or not.
    public var blocks = 0
    public var bytes: UInt64 = 0
    /// Blocks allocated or freed while they were read: at most so many are missing, or not what they look like.
    public var changedBlocks: UInt64 = 0
    /// Entries of the live map that were being written while they were read, and were left out.
    public var tornEntries = 0
    /// Memory of blocks that could not be read: these look like blocks without a type.
    public var unreadableBytes: UInt64 = 0
    public var readingSeconds: Double = 0

    public init() {}

    public static func += (left: inout CensusReading, right: CensusReading) {
        left.processes &+= right.processes
        left.blocks &+= right.blocks
        left.bytes &+= right.bytes
        left.changedBlocks &+= right.changedBlocks
        left.tornEntries &+= right.tornEntries
        left.unreadableBytes &+= right.unreadableBytes
        left.readingSeconds += right.readingSeconds
    }
}
