// SPDX-License-Identifier: Apache-2.0

/// The nodes of a region, kept from one snapshot to the next.
///
/// A published node never changes. So a chunk in which all nodes are published, sound, and of modules that are
/// there is not read again: of a program with a million nodes the copying of them was most of a snapshot. A
/// chunk with anything else in it is read each time, damage in it counted each time.
struct NodeTable {
    /// Indexed by node id; entry 0 is the root. An unpublished record is nil. The parent of a node is 0 or a
    /// node that was there when the node was read, and less than the node, so that a walk towards the root always
    /// ends.
    private(set) var nodes: [RegionNode?] = [nil]
    /// Records of the last reading that had to be repaired.
    private(set) var damaged = 0
    private var perChunk = 1
    /// By chunk.
    private var isSettled: [Bool] = []
    /// Chunks that the last reading read and found complete.
    private var candidates: [Int] = []

    /// Leaves an empty table here.
    mutating func taken() -> NodeTable {
        defer { self = NodeTable() }
        return self
    }

    /// - Parameters:
    ///   - chunks: where each chunk is; nil for one that is not there.
    ///   - count: nodes handed out so far, the root included.
    mutating func read(_ chunks: [UnsafeRawPointer?], count: Int, perChunk: Int) {
        self.perChunk = perChunk
        if count > nodes.count {
            nodes.append(contentsOf: repeatElement(nil, count: count - nodes.count))
        } else {
            nodes.removeLast(nodes.count - count)
        }
        // Fewer than before: no honest region, and what was cut off is not there any more.
        let whole = min(chunks.count, count / perChunk)
        if isSettled.count > whole { isSettled.removeLast(isSettled.count - whole) }
        isSettled += Array(repeating: false, count: chunks.count - isSettled.count)
        damaged = 0
        candidates = []
        var repaired = 0
        var complete: [Int] = []
        nodes.withUnsafeMutableBufferPointer { nodes in
            for (chunk, start) in chunks.enumerated() where !isSettled[chunk] {
                let ids = max(chunk * perChunk, 1)..<min((chunk + 1) * perChunk, count)
                guard let start else {
                    for id in ids { nodes[id] = nil }
                    continue
                }
                var isComplete = (chunk + 1) * perChunk <= count
                for id in ids {
                    let place = start + (id - chunk * perChunk) * NodeLayout.stride
                    guard var node = NodeLayout.read(place) else {
                        nodes[id] = nil
                        isComplete = false
                        continue
                    }
                    if node.parent >= id {
                        repaired += 1
                        isComplete = false
                        node.cut()
                    } else if node.parent != 0, nodes[Int(node.parent)] == nil {
                        // No damage: both may have been published while the table was read.
                        isComplete = false
                        node.cut()
                    }
                    nodes[id] = node
                }
                if isComplete { complete.append(chunk) }
            }
        }
        damaged = repaired
        candidates = complete
    }

    /// A module that is not there becomes "no module". Chunks without such a node are settled from here on.
    mutating func check(modules: [UInt16: RegionModule]) {
        var known = [Bool](repeating: false, count: Int(UInt16.max) + 1)
        for index in modules.keys { known[Int(index)] = true }
        var repaired = 0
        var unsound: Set<Int> = []
        nodes.withUnsafeMutableBufferPointer { nodes in
            for chunk in isSettled.indices where !isSettled[chunk] {
                for id in chunk * perChunk..<min((chunk + 1) * perChunk, nodes.count) {
                    guard let module = nodes[id]?.module, !known[Int(module)] else { continue }
                    nodes[id]?.module = nil
                    repaired += 1
                    unsound.insert(chunk)
                }
            }
        }
        damaged += repaired
        for chunk in candidates where !unsound.contains(chunk) { isSettled[chunk] = true }
        candidates = []
    }
}

extension RegionNode {
    /// Makes this the outermost frame of its stack.
    fileprivate mutating func cut() {
        parent = 0
        isIncomplete = true
    }
}
