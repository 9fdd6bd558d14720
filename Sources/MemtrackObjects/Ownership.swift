// SPDX-License-Identifier: Apache-2.0

/// Finds out which blocks without a type belong to an object: a block whose start is pointed to from inside one object
/// alone is that object's, as the table of a dictionary and the buffer of a vector are. What two objects point to
/// belongs to neither.
///
/// What nothing of that kind claims may be claimed by a weaker bond: CPython's objects may point into a block, because
/// the values of an instance's attributes have a head in front of them; and what one object's block points to, as the
/// nodes of a `std::map` are, follows its owner. A weaker bond never contests a stronger one: buffers hold stale
/// pointers where nothing has been written yet.
struct Ownership {
    /// By block: 0 for none, the owner's place plus 1, or `shared`.
    private(set) var owners: [UInt32]
    /// Buffers of one word that the live map does not list, by number of the type that owns them.
    private(set) var unlisted: [Int: Int] = [:]

    /// What pointers in the objects of a type say.
    enum Bond {
        case none
        case exact
        /// Pointers into a block count as well.
        case inside
    }

    private static let shared = UInt32.max
    /// Of one block so much is searched for pointers.
    private static let scanLimit = 1 << 20
    /// Steps from an object to what it owns: a list that is linked by its nodes is followed so far.
    private static let steps = 16
    private let listsAllBlocks: Bool

    /// - Parameter listsAllBlocks: blocks of at most 8 bytes are among those that `find` is given.
    init(count: Int, listsAllBlocks: Bool) {
        owners = [UInt32](repeating: 0, count: count)
        self.listsAllBlocks = listsAllBlocks
    }

    /// Where in an object the pointer to its buffer is for certain.
    struct Field {
        var offset: Int
        /// Of the number of words that the buffer has room for; -1 if that is not said.
        var room = -1
    }

    func owner(of place: Int) -> Int? {
        let owner = owners[place]
        return owner == 0 || owner == Self.shared ? nil : Int(owner) - 1
    }

    /// - Parameters:
    ///   - bonds: by number of type; that of 0, no type, is `.none`.
    ///   - fields: by number of type; nil if not known. No stale pointer elsewhere in the object contests it.
    mutating func find(
        _ blocks: UnsafeBufferPointer<LiveBlock>, bonds: [Bond], fields: [Field?], index: inout BlockIndex,
        reader: inout BlockReader
    ) throws(CensusError) {
        if fields.contains(where: { $0 != nil }) {
            if !listsAllBlocks { try findUnlisted(blocks, fields, &index, &reader) }
            _ = try round(
                blocks, &index, &reader, inside: false, field: { fields[Int(blocks[$0].type)]?.offset ?? 0 },
                from: { fields[Int(blocks[$0].type)] != nil })
        }
        var reached = try round(blocks, &index, &reader, inside: false) {
            bonds[Int(blocks[$0].type)] != .none
        }
        if bonds.contains(.inside) {
            let more = try round(blocks, &index, &reader, inside: true) {
                bonds[Int(blocks[$0].type)] == .inside
            }
            for place in more.indices where more[place] { reached[place] = true }
        }
        for _ in 0..<Self.steps where reached.contains(true) {
            let from = reached
            reached = try round(blocks, &index, &reader, inside: false) { from[$0] }
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
            blocks, limit: { place in field(place).map { max($0.offset, $0.room) + 8 } ?? 0 },
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
    /// - Parameter inside: a pointer into a block counts as one to its start.
    /// - Returns: by block, whether it has found an owner.
    private mutating func round(
        _ blocks: UnsafeBufferPointer<LiveBlock>, _ index: inout BlockIndex, _ reader: inout BlockReader,
        inside: Bool, field: ((Int) -> Int)? = nil, from isSource: (Int) -> Bool
    ) throws(CensusError) -> [Bool] {
        var claimed = [Bool](repeating: false, count: blocks.count)
        var owners: [UInt32] = []
        swap(&owners, &self.owners)
        defer { swap(&owners, &self.owners) }
        let (lowest, end) = (index.lowest, index.end)
        try reader.forEach(
            blocks, limit: { isSource($0) ? Self.scanLimit : 0 },
            { (place, bytes) throws(CensusError) in
                let owner = blocks[place].type != 0 ? UInt32(place) + 1 : owners[place]
                if owner == Self.shared { return }
                var offset = field?(place) ?? 0
                let limit = field == nil ? bytes.count : min(bytes.count, offset &+ 8)
                while offset &+ 8 <= limit {
                    let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    offset &+= 8
                    guard word >= lowest, word < end,
                        let target = inside ? index.block(around: word) : index.block(startingAt: word),
                        blocks[target].type == 0
                    else { continue }
                    if owners[target] == 0 {
                        owners[target] = owner
                        claimed[target] = true
                    } else if claimed[target], owners[target] != owner {
                        owners[target] = Self.shared
                        claimed[target] = false
                    }
                }
            })
        return claimed
    }
}
