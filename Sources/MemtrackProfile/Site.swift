// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// What one call stack allocated, all size classes together.
public struct StackShare: Sendable {
    public var stack: StackID
    public var counters: Counters
}

/// What one call stack allocated in one size class.
public struct StackSample: Sendable {
    public var stack: StackID
    /// Index into `SizeClass`.
    public var sizeClass: UInt32
    public var counters: Counters

    public init(stack: StackID, sizeClass: UInt32, counters: Counters) {
        self.stack = stack
        self.sizeClass = sizeClass
        self.counters = counters
    }
}

/// What was allocated in one size class.
public struct SizeClassShare: Sendable, Hashable {
    /// Index into `SizeClass`.
    public var sizeClass: UInt32
    public var counters: Counters

    public init(sizeClass: UInt32, counters: Counters) {
        self.sizeClass = sizeClass
        self.counters = counters
    }
}

/// A place in the program that allocates: function, file, line and module, over all stacks that lead there.
public struct Site: Sendable {
    /// Name of `frame` in the profile's table; the same in all profiles of one builder.
    public var id: FrameID
    public var frame: Frame
    public var counters: Counters
    /// In order of the table's ids.
    public var stacks: [StackShare]
    /// In order of size.
    public var sizeClasses: [SizeClassShare]

    public init(
        id: FrameID, frame: Frame, counters: Counters, stacks: [StackShare] = [],
        sizeClasses: [SizeClassShare] = []
    ) {
        self.id = id
        self.frame = frame
        self.counters = counters
        self.stacks = stacks
        self.sizeClasses = sizeClasses
    }

    /// The stack with the most of `order`; ties go to the stack seen first.
    public func heaviestStack(by order: SiteOrder) -> StackID {
        var best: (stack: StackID, weight: Int64) = (0, .min)
        for share in stacks {
            let weight = order.weight(share.counters, change: 0)
            if best.stack == 0 || weight > best.weight { best = (share.stack, weight) }
        }
        return best.stack
    }
}
