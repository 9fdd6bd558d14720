// SPDX-License-Identifier: Apache-2.0

/// Objects of one C++ class that lie one behind the other from the beginning of a block, or from behind the count that
/// `new T[n]` puts there.
struct CxxArray {
    let vtable: UInt64
    /// Offset of the first element.
    private let head: UInt64
    private let step: UInt64

    private init(vtable: UInt64, head: UInt64, step: UInt64) {
        self.vtable = vtable
        self.head = head
        self.step = step
    }

    /// A block that begins with a vtable and repeats it at a step that divides it: the buffer of a vector, or an array
    /// without a count. No object has the vtable of its own class twice. nil for a single object.
    ///
    /// - Parameter bytes: the beginning of the block.
    init?(repeating bytes: UnsafeRawBufferPointer, size: UInt64) {
        let vtable = bytes.word(0)
        var offset = 8
        while offset &+ 8 <= bytes.count, bytes.word(offset) != vtable { offset &+= 8 }
        guard offset &+ 8 <= bytes.count, size % UInt64(offset) == 0 else { return nil }
        self.init(vtable: vtable, head: 0, step: UInt64(offset))
    }

    /// A block that could be an array of at least two elements behind its count, which take up all of it.
    init?(counted bytes: UnsafeRawBufferPointer, size: UInt64) {
        // Classes that are aligned to 16 bytes begin there.
        for head: UInt64 in [8, 16] where size > head {
            let count = bytes.word(Int(head) - 8)
            guard count >= 2, count <= (size - head) / 8, (size - head) % count == 0 else { continue }
            let step = (size - head) / count
            let vtable = bytes.word(Int(head))
            guard step % head == 0, vtable != 0, vtable & 7 == 0 else { continue }
            let second = Int(clamping: head + step)
            guard second > bytes.count - 8 || bytes.word(second) == vtable else { continue }
            self.init(vtable: vtable, head: head, step: step)
            return
        }
        return nil
    }

    func capacity(_ size: UInt64) -> Int { Int(clamping: (size - head) / step) }

    /// Goes on from an element to the first that is none, or that a part of the block does not reach.
    ///
    /// - Parameter start: the part's offset.
    func follow(from element: Int, _ bytes: UnsafeRawBufferPointer, at start: UInt64) -> Int {
        var element = element
        var offset = head &+ UInt64(element) &* step &- start
        while offset &+ 8 <= UInt64(bytes.count), bytes.word(Int(offset)) == vtable {
            element += 1
            offset &+= step
        }
        return element
    }

    /// Elements in all of a block.
    func elements(of block: LiveBlock, _ reader: inout BlockReader) throws(CensusError) -> Int {
        let all = capacity(block.size)
        var element = 0
        while element < all {
            let start = head &+ UInt64(element) &* step
            let part = try reader.part(of: block, from: start)
            let next = follow(from: element, part, at: start)
            guard next > element else { break }
            element = next
        }
        return element
    }
}

/// The arrays among the blocks.
struct CxxArrays {
    /// By type and cell: objects beyond the first of each block.
    private(set) var further: [UInt64: Int] = [:]
    /// More than was read of a block has to be seen.
    private var long: [(place: Int, array: CxxArray)] = []
    private var candidates: [(place: Int, array: CxxArray, type: UInt32)] = []

    private mutating func add(_ elements: Int, _ block: LiveBlock) {
        if elements > 1 { further[block.key, default: 0] += elements - 1 }
    }

    /// Counts the elements of a block that begins with one.
    @inline(__always)
    mutating func count(_ place: Int, _ block: LiveBlock, _ bytes: UnsafeRawBufferPointer) {
        guard let array = CxxArray(repeating: bytes, size: block.size) else { return }
        if block.size > UInt64(bytes.count) {
            long.append((place, array))
        } else {
            add(array.follow(from: 0, bytes, at: 0), block)
        }
    }

    /// An array behind its count: its type, 0 where the block is none or where that is not known yet.
    ///
    /// - Parameter type: that of a vtable.
    @inline(__always)
    mutating func counted(
        _ place: Int, _ block: LiveBlock, _ bytes: UnsafeRawBufferPointer, type: (UInt64) -> UInt32
    ) -> UInt32 {
        guard block.size >= 24, let array = CxxArray(counted: bytes, size: block.size) else { return 0 }
        let type = type(array.vtable)
        if type == 0 { return 0 }
        if block.size > UInt64(bytes.count) {
            candidates.append((place, array, type))
            return 0
        }
        let elements = array.follow(from: 0, bytes, at: 0)
        guard elements == array.capacity(block.size) else { return 0 }
        var block = block
        block.type = type
        add(elements, block)
        return type
    }

    /// Settles which of the large blocks are arrays behind their count: these get their type.
    ///
    /// - Returns: their places.
    mutating func settle(
        _ blocks: UnsafeMutableBufferPointer<LiveBlock>, _ reader: inout BlockReader
    ) throws(CensusError) -> [Int] {
        var found: [Int] = []
        for (place, array, type) in candidates {
            let elements = try array.elements(of: blocks[place], &reader)
            guard elements == array.capacity(blocks[place].size) else { continue }
            blocks[place].type = type
            add(elements, blocks[place])
            found.append(place)
        }
        return found
    }

    /// Counts the elements of blocks of which only a part was read.
    mutating func finish(
        _ blocks: UnsafeMutableBufferPointer<LiveBlock>, _ reader: inout BlockReader
    ) throws(CensusError) {
        for (place, array) in long { add(try array.elements(of: blocks[place], &reader), blocks[place]) }
    }
}
