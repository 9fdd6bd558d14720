// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion

/// The stacks of a profile as a tree of functions, with sums.
///
/// Top-down, the roots are the outermost functions and a node's sum is what was allocated in it and below.
/// Bottom-up, the roots are where allocations are made, and the children of a node are its callers.
public struct CallTree: Sendable {
    public struct Node: Sendable {
        /// Without a line: a function's calls from different lines are one node.
        public var frame: Frame
        /// Place among `nodes`; -1 for a root.
        public var parent: Int
        public var total = Counters()
        /// What was allocated in the function itself: of stacks that end here.
        public var own = Counters()
        public var children: [Int] = []
    }

    public enum Direction: Sendable { case topDown, bottomUp }

    public private(set) var nodes: [Node] = []
    public let direction: Direction
    public private(set) var roots: [Int] = []
    private var places: [UInt64: Int] = [:]

    /// - Parameter collapses: leave out what says nothing: the start-up code of every program, allocation wrappers
    ///   inside a call site, and functions that call themselves at once.
    public init(_ profile: Profile, _ direction: Direction, collapses: Bool) {
        self.direction = direction
        let table = profile.table
        let functions = FunctionTable(table)
        for site in profile.sites {
            for share in site.stacks {
                var path = functions.path(of: share.stack, in: table, collapses: collapses)
                if direction == .topDown { path.reverse() }
                add(path, share.counters, functions)
            }
        }
    }

    private mutating func add(_ path: [Int], _ counters: Counters, _ functions: FunctionTable) {
        var parent = -1
        for function in path {
            let key = UInt64(UInt32(truncatingIfNeeded: parent)) << 32 | UInt64(function)
            let place: Int
            if let known = places[key] {
                place = known
            } else {
                place = nodes.count
                nodes.append(Node(frame: functions.frames[function], parent: parent))
                if parent < 0 { roots.append(place) } else { nodes[parent].children.append(place) }
                places[key] = place
            }
            nodes[place].total += counters
            parent = place
        }
        if parent >= 0 { nodes[parent].own += counters }
    }
}

/// A function, all its lines together: what it allocates itself, and with all that it calls.
public struct FunctionSum: Sendable {
    public var frame: Frame
    /// Of stacks whose innermost frame it is, wrappers not counted unless asked for.
    public var own = Counters()
    /// Of all stacks that it is in, each once.
    public var total = Counters()

    /// In no order.
    public static func all(of profile: Profile, collapses: Bool) -> [FunctionSum] {
        let functions = FunctionTable(profile.table)
        var sums = functions.frames.map { FunctionSum(frame: $0) }
        var isUsed = [Bool](repeating: false, count: sums.count)
        for site in profile.sites {
            for share in site.stacks {
                let path = functions.path(of: share.stack, in: profile.table, collapses: collapses)
                guard let first = path.first else { continue }
                sums[first].own += share.counters
                for function in Set(path) {
                    sums[function].total += share.counters
                    isUsed[function] = true
                }
            }
        }
        return sums.indices.filter { isUsed[$0] }.map { sums[$0] }
    }
}

/// Frames without their lines.
struct FunctionTable {
    private(set) var frames: [Frame] = []
    /// Indexed by frame.
    private var functions: [Int] = []

    init(_ table: StackTable) {
        var places: [Frame: Int] = [:]
        for frame in table.frames {
            var function = frame
            function.line = nil
            if let place = places[function] {
                functions.append(place)
            } else {
                places[function] = frames.count
                functions.append(frames.count)
                frames.append(function)
            }
        }
    }

    /// The functions of a stack, innermost first.
    func path(of stack: StackID, in table: StackTable, collapses: Bool) -> [Int] {
        var result: [Int] = []
        var id = collapses ? table.siteStack(of: stack) : stack
        let first = id
        while id != 0 {
            let frame = table.innermost(of: id)
            let function = functions[Int(frame)]
            let isDull =
                collapses
                && (table.isWrapper(frame) || result.last == function
                    || AllocationWrappers.startup.contains(table.frame(frame).function))
            if !isDull || id == first { result.append(function) }
            id = table.parent(of: id)
        }
        return result
    }
}
