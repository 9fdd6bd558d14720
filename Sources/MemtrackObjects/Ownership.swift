// SPDX-License-Identifier: Apache-2.0

/// Finds out which blocks without a type belong to an object: a block whose start is pointed to from inside one object
/// alone is that object's, as the table of a dictionary and the buffer of a vector are. What two objects point to
/// belongs to neither.
///
/// What nothing of that kind claims may be claimed by a weaker bond: a pointer past the head that some buffers have (the
/// count in front of an array of C++, the values of a Python instance's attributes), and what an owned block points to
/// in its turn: the nodes of a `std::map` or `std::list`, one from the other. A weaker bond never contests a stronger
/// one: buffers hold stale pointers where nothing has been written yet.
///
/// Such a pointer must not bring in a structure that something else holds: what is claimed through an owned block is
/// given back where memory that belongs to no object points to it, and with it all that was claimed through it.
struct Ownership {
    /// By block: 0 for none, the owner's place plus 1, or `shared`; with `fresh` in the round that has found it, and
    /// with `derived` where it was claimed through an owned block.
    private var owners: [UInt32]
    /// Buffers of one word that the live map does not list, by number of the type that owns them.
    private(set) var unlisted: [Int: Int] = [:]
    private let listsAllBlocks: Bool

    /// What pointers in the objects of a type say.
    enum Bond {
        case none
        /// To the start of a block, or just past the head of an array.
        case start
        /// Pointers anywhere into a block count as well.
        case inside

        /// Bytes from the start of a block that a pointer may point past.
        fileprivate var reach: UInt64 {
            switch self {
            case .none: 0
            case .start: 16
            case .inside: .max
            }
        }
    }

    /// Where in an object the pointer to its buffer is for certain.
    struct Field {
        var offset: Int
        /// Of the number of words that the buffer has room for; -1 if that is not said.
        var room = -1
    }

    private static let shared: UInt32 = 1 << 30 - 1
    private static let derived: UInt32 = 1 << 30
    private static let fresh: UInt32 = 1 << 31
    /// Of one block so much is searched for pointers.
    private static let scanLimit = 1 << 20
    /// Steps from an object to what it owns: a list that is linked by its nodes is followed so far. Whatever their
    /// number, every block is read once.
    private static let steps = 1 << 16

    /// - Parameter listsAllBlocks: blocks of at most 8 bytes are among those that `find` is given.
    init(count: Int, listsAllBlocks: Bool) {
        owners = [UInt32](repeating: 0, count: count)
        self.listsAllBlocks = listsAllBlocks
    }

    func owner(of place: Int) -> Int? {
        let owner = owners[place] & ~Self.derived
        return owner == 0 || owner == Self.shared ? nil : Int(owner) - 1
    }

    /// - Parameters:
    ///   - bonds: by number of type; that of 0, no type, is `.none`.
    ///   - fields: by number of type; nil if not known. No stale pointer elsewhere in the object contests it.
    mutating func find(
        _ blocks: UnsafeBufferPointer<LiveBlock>, bonds: [Bond], fields: [Field?], index: inout BlockIndex,
        reader: inout BlockReader
    ) throws(CensusError) {
        func field(_ place: Int) -> Field? { fields[Int(blocks[place].type)] }
        if fields.contains(where: { $0 != nil }) {
            if !listsAllBlocks { try findUnlisted(blocks, fields, &index, &reader) }
            let sources = blocks.indices.lazy.filter { field($0) != nil }
            _ = try round(blocks, &index, &reader, from: sources, field: { field($0)?.offset ?? 0 })
        }
        let objects = blocks.indices.lazy.filter { bonds[Int(blocks[$0].type)] != .none }
        var reached = try round(blocks, &index, &reader, from: objects)
        reached += try round(
            blocks, &index, &reader, from: objects, reach: { bonds[Int(blocks[$0].type)].reach })
        var hasDerived = false
        for _ in 0..<Self.steps where !reached.isEmpty {
            reached.sort()
            reached = try round(blocks, &index, &reader, from: reached.lazy.map(Int.init))
            for place in reached { owners[Int(place)] |= Self.derived }
            hasDerived = hasDerived || !reached.isEmpty
        }
        if hasDerived { try giveBack(blocks, &index, &reader) }
    }

    /// Gives back what was claimed through an owned block, and memory of no object points to.
    private mutating func giveBack(
        _ blocks: UnsafeBufferPointer<LiveBlock>, _ index: inout BlockIndex, _ reader: inout BlockReader
    ) throws(CensusError) {
        var sources = blocks.indices.filter { blocks[$0].type == 0 && owner(of: $0) == nil }
        var owners: [UInt32] = []
        swap(&owners, &self.owners)
        defer { swap(&owners, &self.owners) }
        let (lowest, end) = (index.lowest, index.end)
        while !sources.isEmpty {
            var given: [Int] = []
            try reader.forEach(
                blocks, at: sources, limit: { _ in Self.scanLimit },
                { (_, bytes) throws(CensusError) in
                    for offset in stride(from: 0, to: bytes.count - 7, by: 8) {
                        let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                        guard word >= lowest, word < end, let target = index.block(startingAt: word),
                            owners[target] & Self.derived != 0
                        else { continue }
                        owners[target] = Self.shared
                        given.append(target)
                    }
                })
            sources = given.sorted()
        }
    }

    /// Buffers with room for one word where the live map lists none: the object itself says that it has one.
    private mutating func findUnlisted(
        _ blocks: UnsafeBufferPointer<LiveBlock>, _ fields: [Field?], _ index: inout BlockIndex,
        _ reader: inout BlockReader
    ) throws(CensusError) {
        func field(_ place: Int) -> Field? {
            fields[Int(blocks[place].type)].flatMap { $0.room >= 0 ? $0 : nil }
        }
        var found = [Int](repeating: 0, count: fields.count)
        try reader.forEach(
            blocks, at: blocks.indices,
            limit: { place in field(place).map { max($0.offset, $0.room) + 8 } ?? 0 },
            { (place, bytes) throws(CensusError) in
                guard let field = field(place), bytes.word(field.room) == 1 else { return }
                let pointer = bytes.word(field.offset)
                guard pointer != 0, pointer & 7 == 0, index.block(around: pointer) == nil else { return }
                found[Int(blocks[place].type)] += 1
            })
        for (type, count) in found.enumerated() where count > 0 { unlisted[type] = count }
    }

    /// Follows the pointers in some blocks to those that nobody owns yet.
    ///
    /// - Parameters:
    ///   - sources: places of blocks, rising: objects, or what they own.
    ///   - reach: a pointer to so many bytes past the start of a block counts as one to its start.
    /// - Returns: places of blocks that have found an owner.
    private mutating func round(
        _ blocks: UnsafeBufferPointer<LiveBlock>, _ index: inout BlockIndex, _ reader: inout BlockReader,
        from sources: some Sequence<Int>, reach: ((Int) -> UInt64)? = nil, field: ((Int) -> Int)? = nil
    ) throws(CensusError) -> [UInt32] {
        var claimed: [UInt32] = []
        var owners: [UInt32] = []
        swap(&owners, &self.owners)
        defer { swap(&owners, &self.owners) }
        let (lowest, end) = (index.lowest, index.end)
        try reader.forEach(
            blocks, at: sources, limit: { _ in Self.scanLimit },
            { (place, bytes) throws(CensusError) in
                let owner = blocks[place].type != 0 ? UInt32(place) + 1 : owners[place] & ~Self.derived
                if owner == Self.shared { return }
                let reach = reach?(place) ?? 0
                var offset = field?(place) ?? 0
                let limit = field == nil ? bytes.count : min(bytes.count, offset &+ 8)
                while offset &+ 8 <= limit {
                    let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    offset &+= 8
                    guard word >= lowest, word < end,
                        let target = reach > 0 ? index.block(around: word) : index.block(startingAt: word),
                        blocks[target].type == 0, word &- blocks[target].address <= reach
                    else { continue }
                    let known = owners[target]
                    if known == 0 {
                        owners[target] = owner | Self.fresh
                        claimed.append(UInt32(target))
                    } else if known & Self.fresh != 0, known & ~Self.fresh != owner {
                        owners[target] = Self.shared | Self.fresh
                    }
                }
            })
        return claimed.filter { place in
            owners[Int(place)] &= ~Self.fresh
            return owners[Int(place)] != Self.shared
        }
    }
}
