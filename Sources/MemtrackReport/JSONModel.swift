// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

// What the JSON reports consist of. Property names are the keys; sizes in bytes, times in seconds. A
// figure that is not known is null, never left out.

/// An optional that is written as null where there is no value.
@propertyWrapper
struct OrNull<Value: Encodable>: Encodable {
    var wrappedValue: Value?

    // Written out, memberwise initializers of the types that use it take the plain optional.
    init(wrappedValue value: Value?) {
        wrappedValue = value
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

struct JSONCounters: Encodable {
    var allocations: UInt64
    var allocatedBytes: UInt64
    var frees: UInt64
    var freedBytes: UInt64
    var liveBlocks: Int64
    var liveBytes: Int64
    var peakBlocks: Int64
    var peakBytes: Int64
    var temporaryAllocations: UInt64

    init(_ counters: Counters) {
        allocations = counters.allocations
        allocatedBytes = counters.allocatedBytes
        frees = counters.frees
        freedBytes = counters.freedBytes
        liveBlocks = counters.liveBlocks
        liveBytes = counters.liveBytes
        peakBlocks = counters.peakBlocks
        peakBytes = counters.peakBytes
        temporaryAllocations = counters.temporary
    }
}

struct JSONFrame: Encodable {
    var function: String
    @OrNull var file: String?
    @OrNull var line: Int?
    /// Path of the object.
    var module: String

    init(_ frame: Frame) {
        function = frame.function
        file = frame.file
        line = frame.line
        module = frame.module
    }
}

/// A stack as places in the report's `frames`, innermost first.
struct JSONStack: Encodable {
    var counters: JSONCounters
    var frames: [FrameID]

    enum CodingKeys: CodingKey { case frames }

    func encode(to encoder: any Encoder) throws {
        try counters.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(frames, forKey: .frames)
    }
}

struct JSONSizeClass: Encodable {
    var counters: JSONCounters
    var minimumBytes: UInt64
    var maximumBytes: UInt64
    /// Of the whole program, only where the counters are estimates.
    var exactAllocations: UInt64?
    var exactAllocatedBytes: UInt64?

    enum CodingKeys: CodingKey { case minimumBytes, maximumBytes, exactAllocations, exactAllocatedBytes }

    /// - Parameter counted: the allocations of the class, counted one by one.
    init(_ share: SizeClassShare, counted: Counters? = nil) {
        counters = JSONCounters(share.counters)
        exactAllocations = counted?.allocations
        exactAllocatedBytes = counted?.allocatedBytes
        let range = SizeClass.range(min(share.sizeClass, SizeClass.count - 1))
        minimumBytes = range.lowerBound
        maximumBytes = range.upperBound
    }

    func encode(to encoder: any Encoder) throws {
        try counters.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(minimumBytes, forKey: .minimumBytes)
        try container.encode(maximumBytes, forKey: .maximumBytes)
        try container.encodeIfPresent(exactAllocations, forKey: .exactAllocations)
        try container.encodeIfPresent(exactAllocatedBytes, forKey: .exactAllocatedBytes)
    }
}

struct JSONSite: Encodable {
    var frame: JSONFrame
    var counters: JSONCounters
    /// Frames of the heaviest stack, innermost first.
    var stack: [JSONFrame]
    var stacks: [JSONStack]
    var sizeClasses: [JSONSizeClass]
    /// Only where the figures are estimates.
    var standardError: JSONStandardError?

    enum CodingKeys: CodingKey { case stack, stacks, sizeClasses, standardError }

    init(_ site: Site, table: StackTable, sampling: Sampling? = nil) {
        frame = JSONFrame(site.frame)
        counters = JSONCounters(site.counters)
        stack = table.frameIDs(of: site.heaviestStack(by: .live)).map { JSONFrame(table.frame($0)) }
        stacks = site.stacks.map {
            JSONStack(counters: JSONCounters($0.counters), frames: table.frameIDs(of: $0.stack))
        }
        sizeClasses = site.sizeClasses.map { JSONSizeClass($0) }
        standardError = sampling.map { JSONStandardError(site, $0) }
    }

    func encode(to encoder: any Encoder) throws {
        try frame.encode(to: encoder)
        try counters.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(stack, forKey: .stack)
        try container.encode(stacks, forKey: .stacks)
        try container.encode(sizeClasses, forKey: .sizeClasses)
        try container.encodeIfPresent(standardError, forKey: .standardError)
    }
}
