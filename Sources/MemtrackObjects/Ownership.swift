// SPDX-License-Identifier: Apache-2.0

/// Finds out which blocks without a type belong to an object: a block whose start is pointed to from inside one object
/// alone is that object's, as the table of a dictionary and the buffer of a vector are. What two objects point to
/// belongs to neither.
///
/// Claims differ in strength, and a weaker one never contests a stronger: buffers hold stale pointers where nothing has
/// been written yet. The strongest is a field known to point to the object's own buffer, then come pointers to the
/// start of a block, then those past the head that some buffers have (the count in front of an array of C++, the values
/// of a Python instance's attributes). What nothing of that kind claims may be claimed through an owned block: so the
/// nodes of a `std::map` or `std::list` follow, one from the other.
///
/// Such a pointer must not bring in a structure that something else holds: what is claimed through an owned block is
/// given back where memory that belongs to no object points to it, and with it all that was claimed through it.
///
/// Words that are no pointers, and pointers that are no longer meant, look like any other: what memory belongs to is a
/// conclusion, not a count. What such a word can do is bounded: it may give a block that no object points to an owner, or
/// take one from its owner, who loses its size and not its count; what is owned is never an object, and is counted once.
final class Ownership {
    /// By block: 0 for none, `object`, or the owner's place plus 1 with the strength of the claim; `shared` is an owner,
    /// too. With `fresh` in the round that has found it, and with `derived` where it was claimed through an owned block.
    private let claims: UnsafeMutableBufferPointer<UInt32>
    private let blocks: UnsafeMutableBufferPointer<LiveBlock>
    private let index: BlockIndex

    private enum Strength {
        static let reach: UInt32 = 1 << 28
        static let start: UInt32 = 2 << 28
        static let field: UInt32 = 3 << 28
        static let mask: UInt32 = 3 << 28
    }
    private static let fresh: UInt32 = 1 << 31
    private static let derived: UInt32 = 1 << 30
    private static let shared: UInt32 = 1 << 28 - 1
    private static let ownerMask: UInt32 = 1 << 28 - 1
    /// No block of anybody's: an object.
    private static let object = Strength.field | shared
    /// Of one block so much is searched for pointers.
    private static let scanLimit = 1 << 20
    /// Steps from an object to what it owns: a list that is linked by its nodes is followed so far, from each end. Whatever
    /// their number, every block is read once; a step costs some microseconds.
    private static let steps = 1 << 19

    /// - Parameter blocks: fewer than 2^28.
    init(_ blocks: UnsafeMutableBufferPointer<LiveBlock>, index: BlockIndex) {
        self.blocks = blocks
        self.index = index
        claims = .allocate(capacity: blocks.count)
        claims.initialize(repeating: 0)
    }

    deinit { claims.deallocate() }

    /// -1 for nobody.
    @inline(__always)
    func owner(of place: Int) -> Int {
        let owner = claims[place] & Self.ownerMask
        return owner == Self.shared ? -1 : Int(owner) - 1
    }

    /// Takes note of an object: nobody owns it.
    @inline(__always)
    func addObject(_ place: Int) { claims[place] = Self.object }

    /// Follows the pointers in an object.
    ///
    /// - Parameter bytes: its contents from the start, as far as they were read.
    @inline(__always)
    func follow(_ bytes: UnsafeRawBufferPointer, of place: Int, _ layout: TypeLayout) {
        let owner = UInt32(truncatingIfNeeded: place) &+ 1
        if layout.field >= 0 {
            let target = index.block(startingAt: bytes.word(layout.field))
            if target >= 0 { claim(target, Strength.field, owner) }
        }
        let (lowest, span, reach) = (index.lowest, index.span, layout.reach)
        guard reach > 0, let base = bytes.baseAddress else { return }
        for offset in stride(from: 0, to: bytes.count &- 7, by: 8) {
            let word = base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            guard word &- lowest < span else { continue }
            let target = index.block(before: word)
            if target < 0 || claims[target] >= Self.object { continue }
            let distance = word &- blocks[target].address
            if distance == 0 {
                claim(target, Strength.start, owner)
            } else if distance <= reach, distance < blocks[target].size {
                claim(target, Strength.reach, owner)
            }
        }
    }

    @inline(__always)
    private func claim(_ target: Int, _ strength: UInt32, _ owner: UInt32) {
        let known = claims[target]
        if known == 0 || strength > known & Strength.mask {
            claims[target] = strength | owner
        } else if strength == known & Strength.mask, known & Self.ownerMask != owner {
            claims[target] = strength | Self.shared
        }
    }

    /// Follows the pointers in what is owned, once all objects were followed.
    func finish(_ reader: inout BlockReader) throws(CensusError) {
        let claims = claims
        let first = claims.indices.lazy.filter { place in
            claims[place] != 0 && claims[place] & Self.ownerMask != Self.shared
        }
        var reached = try round(&reader, from: first)
        let hasDerived = !reached.isEmpty
        for _ in 1..<Self.steps {
            if reached.isEmpty { break }
            reached.sort()
            reached = try round(&reader, from: reached.lazy.map(Int.init))
        }
        // What was not reached of a structure is memory of no object, and would take back all the rest, node by node.
        let cut = Set(reached.map { claims[Int($0)] & Self.ownerMask })
        if hasDerived { try giveBack(&reader, except: cut) }
    }

    /// Follows the pointers in some owned blocks to those that nobody has claimed yet.
    ///
    /// - Returns: places of blocks that have found an owner.
    private func round(
        _ reader: inout BlockReader, from sources: some Sequence<Int>
    ) throws(CensusError) -> [UInt32] {
        var found: [UInt32] = []
        let (lowest, span) = (index.lowest, index.span)
        try reader.forEach(blocks, at: sources, limit: Self.scanLimit) { place, bytes in
            let owner = claims[place] & Self.ownerMask
            guard owner != Self.shared, let base = bytes.baseAddress else { return }
            for offset in stride(from: 0, to: bytes.count &- 7, by: 8) {
                let word = base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                guard word &- lowest < span else { continue }
                let target = index.block(startingAt: word)
                if target < 0 { continue }
                let known = claims[target]
                if known == 0 {
                    claims[target] = owner | Self.fresh
                    found.append(UInt32(truncatingIfNeeded: target))
                } else if known & Self.fresh != 0, known & Self.ownerMask != owner {
                    claims[target] = Self.shared | Self.fresh
                }
            }
        }
        return found.filter { place in
            let owner = claims[Int(place)] & Self.ownerMask
            claims[Int(place)] = owner | (owner == Self.shared ? 0 : Self.derived)
            return owner != Self.shared
        }
    }

    /// Gives back what was claimed through an owned block, and memory of no object points to.
    private func giveBack(_ reader: inout BlockReader, except owners: Set<UInt32>) throws(CensusError) {
        var sources = claims.indices.filter { claims[$0] != Self.object && owner(of: $0) < 0 }
        let (lowest, span) = (index.lowest, index.span)
        while !sources.isEmpty {
            var given: [Int] = []
            try reader.forEach(blocks, at: sources, limit: Self.scanLimit) { _, bytes in
                guard let base = bytes.baseAddress else { return }
                for offset in stride(from: 0, to: bytes.count &- 7, by: 8) {
                    let word = base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    guard word &- lowest < span else { continue }
                    let target = index.block(startingAt: word)
                    if target < 0 || claims[target] & Self.derived == 0 { continue }
                    if !owners.isEmpty, owners.contains(claims[target] & Self.ownerMask) { continue }
                    claims[target] = Self.shared
                    given.append(target)
                }
            }
            sources = given.sorted()
        }
    }
}
