// SPDX-License-Identifier: Apache-2.0

/// One region, as `memtrack list` shows it.
public struct RegionListEntry: Sendable, Codable {
    public var path: String
    public var pid: Int32
    public var createdMonotonicNanoseconds: UInt64
    public var program = ""
    public var arguments: [String] = []
    public var startedRealtimeNanoseconds: UInt64 = 0
    /// The process runs, and this is its present image.
    public var isAlive = false
    /// The process belongs to another PID namespace; whether it runs cannot be seen from here.
    public var isElsewhere = false
    public var allocations: UInt64 = 0
    public var liveBytes: Int64 = 0
    /// Memory that the region's file takes, in bytes.
    public var residentBytes: UInt64 = 0
    /// Why it could not be read; nil if it could.
    public var problem: String?
    /// Made by another version of memtrack: all that is known is whether a process has its PID, which `isAlive` says then.
    public var isOfOtherVersion = false

    public init(path: String, pid: Int32, createdMonotonicNanoseconds: UInt64) {
        self.path = path
        self.pid = pid
        self.createdMonotonicNanoseconds = createdMonotonicNanoseconds
    }
}
