// SPDX-License-Identifier: Apache-2.0

/// Name of a stack: its innermost node in a `StackTable`. 0 is the empty stack.
public typealias StackID = UInt32

/// Name of a frame in a `StackTable`.
public typealias FrameID = UInt32

/// All frames and stacks of a session, each stored once.
///
/// A stack is a path in a trie of (caller's stack, frame). Ids are dense and only ever added, so that an
/// older copy of a table is a prefix of a newer one, and ids of one `ProfileBuilder` can be compared at
/// all times. The table is a value: a profile keeps the copy of the moment it was made.
public struct StackTable: Sendable {
    struct Node: Sendable {
        /// Smaller than the node's own id; 0 at the outermost frame.
        var parent: StackID
        var frame: FrameID
        /// The node whose frame is this stack's call site.
        var site: StackID
        /// The outermost frame that is code: the site of a stack made of wrappers alone.
        var outermost: StackID
        /// `site` is a frame of its own right, not the stand-in `outermost`.
        var hasSite: Bool
        var isInlined: Bool
    }

    public private(set) var frames: [Frame] = []
    private(set) var isWrapper: [Bool] = []
    /// Frames in the order of `Frame.precedes`, and of each frame its place there: sorting sites by text at every
    /// checkpoint was a third of what one costs. Where `rank` was not called for the newest, text is compared.
    private var order: [FrameID] = []
    private var ranks: [UInt32] = []
    private(set) var nodes: [Node] = [
        Node(parent: 0, frame: 0, site: 0, outermost: 0, hasSite: false, isInlined: false)
    ]

    public init() {}

    /// Number of stacks; ids run from 1 to `count`.
    public var count: Int { nodes.count - 1 }

    public func frame(_ id: FrameID) -> Frame { frames[Int(id)] }

    /// Order that breaks ties between frames.
    func precedes(_ left: FrameID, _ right: FrameID) -> Bool {
        if ranks.count == frames.count { return ranks[Int(left)] < ranks[Int(right)] }
        return Frame.precedes(frames[Int(left)], frames[Int(right)])
    }

    /// Ranks the frames that have come since.
    mutating func rank() {
        let known = order.count
        if known == frames.count { return }
        let new = (FrameID(known)..<FrameID(frames.count)).sorted {
            Frame.precedes(frames[Int($0)], frames[Int($1)])
        }
        var merged: [FrameID] = []
        merged.reserveCapacity(frames.count)
        var rest = order[...]
        for frame in new {
            // Where it belongs among the others.
            var (low, high) = (rest.startIndex, rest.endIndex)
            while low < high {
                let middle = (low + high) / 2
                if Frame.precedes(frames[Int(frame)], frames[Int(rest[middle])]) {
                    high = middle
                } else {
                    low = middle + 1
                }
            }
            merged += rest[..<low]
            merged.append(frame)
            rest = rest[low...]
        }
        order = merged + rest
        ranks = [UInt32](repeating: 0, count: order.count)
        for (place, frame) in order.enumerated() { ranks[Int(frame)] = UInt32(place) }
    }

    /// The stack without its innermost frame; 0 at the outermost one.
    public func parent(of stack: StackID) -> StackID { nodes[Int(stack)].parent }

    /// The innermost frame of a stack that is not empty.
    public func innermost(of stack: StackID) -> FrameID { nodes[Int(stack)].frame }

    /// Whether the innermost frame of a stack shares its code with its caller, into which it was inlined.
    public func isInlined(_ stack: StackID) -> Bool { nodes[Int(stack)].isInlined }

    /// Whether a frame only allocates on behalf of its caller.
    public func isWrapper(_ frame: FrameID) -> Bool { isWrapper[Int(frame)] }

    /// A stack without the wrappers inside its call site: what its allocations are booked on is its innermost
    /// frame.
    public func siteStack(of stack: StackID) -> StackID { nodes[Int(stack)].site }

    /// The frame on which a stack's allocations are booked.
    public func siteFrame(of stack: StackID) -> FrameID { nodes[Int(nodes[Int(stack)].site)].frame }

    /// Frames of a stack, innermost first.
    public func frameIDs(of stack: StackID) -> [FrameID] {
        var result: [FrameID] = []
        var id = stack
        while id != 0 {
            result.append(nodes[Int(id)].frame)
            id = nodes[Int(id)].parent
        }
        return result
    }

    /// The callers of a stack's site that say something to a reader, innermost first: allocation wrappers,
    /// process start-up code and built-in frames are left out, and so is a function that calls itself.
    public func callers(of stack: StackID, limit: Int) -> [Frame] {
        var result: [Frame] = []
        let site = nodes[Int(stack)].site
        var id = nodes[Int(site)].parent
        // Frames of one function need not be equal: its lines differ.
        var inner = site == 0 ? "" : frames[Int(nodes[Int(site)].frame)].function
        while id != 0 && result.count < limit {
            let node = nodes[Int(id)]
            let frame = frames[Int(node.frame)]
            if !isWrapper[Int(node.frame)] && frame.kind != .builtIn
                && !AllocationWrappers.startup.contains(frame.function)
            {
                if frame.function != inner { result.append(frame) }
                inner = frame.function
            }
            id = node.parent
        }
        return result
    }

    mutating func add(_ frame: Frame, isWrapper wrapper: Bool) -> FrameID {
        frames.append(frame)
        isWrapper.append(wrapper)
        return FrameID(frames.count - 1)
    }

    mutating func add(parent: StackID, frame: FrameID, isInlined: Bool) -> StackID {
        let id = StackID(nodes.count)
        let caller = nodes[Int(parent)]
        let isCode = frames[Int(frame)].kind != .builtIn
        let outermost = caller.outermost != 0 ? caller.outermost : (isCode ? id : 0)
        let isSite = isCode && !isWrapper[Int(frame)]
        let hasSite = isSite || caller.hasSite
        var site = isSite ? id : (caller.hasSite ? caller.site : outermost)
        if site == 0 { site = id }
        nodes.append(
            Node(
                parent: parent, frame: frame, site: site, outermost: outermost, hasSite: hasSite,
                isInlined: isInlined))
        return id
    }
}
