// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// What a `ProfileBuilder` has found out about the stacks of one process image.
///
/// A region only ever adds nodes, so the next snapshot of the image needs nothing but what is new. Belongs to
/// one image and one builder. Code made at run time is not remembered, nor what it calls: the runtime may
/// yet say its name.
public struct NodeStacks: Sendable {
    /// Indexed by node id; 0 for a node not remembered.
    private(set) var stacks: [StackID] = [0]

    /// All stacks of the last profile, those of code made at run time included.
    var latest: [StackID] = [0]

    public init() {}

    /// The stack that ends in a node, in the last profile; 0 where that is not known.
    func stack(ofNode id: UInt32) -> StackID { Int(id) < latest.count ? latest[Int(id)] : 0 }

    /// Which nodes some cell's stack goes through and are not remembered; nil if there are none. Parents have
    /// smaller ids than their children.
    func missing(in snapshot: RegionSnapshot) -> [Bool]? {
        let nodes = snapshot.nodes
        var needed = [Bool](repeating: false, count: max(nodes.count, 1))
        var isAny = false
        for cell in snapshot.cells where cell.kind == .site && cell.stack > 0 {
            let id = Int(cell.stack)
            guard id < needed.count, !remembers(id) else { continue }
            needed[id] = true
            isAny = true
        }
        guard isAny else { return nil }
        var id = nodes.count - 1
        while id > 0 {
            if needed[id], let node = nodes[id], node.parent > 0, node.parent < id,
                !remembers(Int(node.parent))
            {
                needed[Int(node.parent)] = true
            }
            id -= 1
        }
        return needed
    }

    mutating func grow(to count: Int) {
        if count > stacks.count { stacks += Array(repeating: 0, count: count - stacks.count) }
    }

    /// Remembers a node whose own frame is settled if its callers are, too.
    mutating func remember(_ stack: StackID, of id: Int, _ node: RegionNode) {
        let parent = Int(node.parent)
        if parent == 0 || parent >= id || remembers(parent) { stacks[id] = stack }
    }

    private func remembers(_ id: Int) -> Bool { id < stacks.count && stacks[id] != 0 }
}
