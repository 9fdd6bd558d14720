// SPDX-License-Identifier: Apache-2.0

/// Recognises CPython objects, 3.8 to 3.13.
///
/// An object begins with its reference count and a pointer to its type. In front of these stand, in the same
/// block, 16 bytes of the collector's where the type takes part in garbage collection, and in front of those 16 more
/// where the interpreter manages the instance's dictionary or weak references. The type says which: a block counts as
/// an object only if the pointer is where its type says that it must be.
///
/// A type is an object whose own type is `type`, or a metaclass: a type that inherits from `type`. One that C has filled in
/// has no head of the collector's, wherever it lies.
struct PythonTypes {
    struct Object {
        var type: UInt32
        /// The garbage collector knows the object.
        var isTracked: Bool
    }

    private struct Layout {
        var type: UInt32
        /// Bytes in front of the object.
        var prefix: Int
        var isCollected: Bool
        /// Smallest size of an instance.
        var basicSize: UInt64
        /// Instances are types.
        var isMeta: Bool
    }

    private let words: WordCache
    private let modules: ModuleMap
    private let blocks: UnsafeMutableBufferPointer<LiveBlock>
    private let index: BlockIndex
    private let typeType: UInt64
    private var verdicts = Verdicts()
    /// By verdict, from 1.
    private var layouts: [Layout] = []

    // Offsets in PyTypeObject, the same from 3.8 to 3.13.
    private static let typeOffset: UInt64 = 8
    private static let nameOffset: UInt64 = 24
    private static let basicSizeOffset: UInt64 = 32
    private static let flagsOffset: UInt64 = 168
    /// The structure has more in each of them.
    private static let typeBytes: UInt64 = 400

    // Bits of tp_flags. 3 and 4 mean nothing before 3.11.
    private static let managedFlags: UInt64 = 1 << 3 | 1 << 4
    private static let heapTypeFlag: UInt64 = 1 << 9
    private static let readyFlag: UInt64 = 1 << 12
    private static let collectedFlag: UInt64 = 1 << 14
    private static let textSubclassFlag: UInt64 = 1 << 28
    private static let typeSubclassFlag: UInt64 = 1 << 31
    /// A short text has less than tp_basicsize tells: this much in 3.12 and later, more before.
    private static let textBytes: UInt64 = 40
    /// Those without a time zone end before the pointer to it (datetime.h, _PyDateTime_BaseDateTime).
    private static let withoutZone: [String: UInt64] = ["datetime.datetime": 40, "datetime.time": 32]
    private static let longestName = 1 << 14

    /// Counts from here on may be addresses: nothing is mapped below.
    private static let lowestAddress: UInt64 = 1 << 16

    /// - Parameter blocks: type objects made at run time are in these.
    init?(
        words: WordCache, modules: ModuleMap, blocks: UnsafeMutableBufferPointer<LiveBlock>, index: BlockIndex
    ) {
        guard let type = modules.pythonType else { return nil }
        self.words = words
        self.modules = modules
        self.blocks = blocks
        self.index = index
        typeType = type
    }

    @inline(__always)
    mutating func object(_ bytes: UnsafeRawBufferPointer, size: UInt64, types: inout TypeList) -> Object? {
        for prefix in [0, 16, 32] where size >= UInt64(prefix) + 16 {
            let type = bytes.word(prefix + 8)
            // An object that waits on a free list has a count of 0; no program holds 2^40 references.
            let references = bytes.word(prefix)
            guard type & 7 == 0, type != 0, references &- 1 < 1 << 40 else { continue }
            let verdict = verdict(of: type, &types)
            if verdict == 0 { continue }
            let layout = layouts[Int(verdict) - 1]
            if references >= Self.lowestAddress, isObject(at: references, &types) { continue }
            if layout.isMeta, prefix == 0, Self.isStaticType(bytes, size: size) {
                return Object(type: layout.type, isTracked: false)
            }
            guard layout.prefix == prefix, size >= UInt64(prefix) &+ layout.basicSize else { continue }
            let isTracked = layout.isCollected && bytes.word(prefix - 16) != 0
            return Object(type: layout.type, isTracked: isTracked)
        }
        return nil
    }

    /// Whether what could be a count of references is the address of an object: then a reference and a type stand next to
    /// each other, in an array of references or in what is left of a freed object.
    ///
    /// Static objects of an interpreter that is not position-independent have such addresses, and its heap does.
    private mutating func isObject(at address: UInt64, _ types: inout TypeList) -> Bool {
        guard address & 7 == 0 else { return false }
        if [0, 16, 32].contains(where: { index.isStart(address &- $0) }) { return true }
        // Millions of references are nothing impossible, and a program's data lie there.
        guard modules.contains(address), let count = words.word(address), count &- 1 < 1 << 40,
            let type = words.word(address &+ Self.typeOffset), type & 7 == 0, type != 0
        else { return false }
        return verdict(of: type, &types) != 0
    }

    /// A type that C has filled in, and may have placed in a block (as numpy does with the classes of its dtypes).
    private static func isStaticType(_ bytes: UnsafeRawBufferPointer, size: UInt64) -> Bool {
        guard size >= typeBytes else { return false }
        return bytes.word(Int(flagsOffset)) & (heapTypeFlag | readyFlag) == readyFlag
    }

    @inline(__always)
    private mutating func verdict(of type: UInt64, _ types: inout TypeList) -> UInt32 {
        verdicts.known(type) ?? judge(type, &types)
    }

    /// The number of a type's layout; 0 where an address is no type.
    private mutating func judge(_ type: UInt64, _ types: inout TypeList) -> UInt32 {
        guard modules.contains(type) || isInBlock(type) else { return 0 }
        guard let layout = layout(of: type, &types) else {
            verdicts.add(type, 0)
            return 0
        }
        layouts.append(layout)
        verdicts.add(type, UInt32(layouts.count))
        return UInt32(layouts.count)
    }

    /// Whether a type may begin at an address, behind the heads that objects have in blocks.
    private func isInBlock(_ type: UInt64) -> Bool {
        for prefix: UInt64 in [0, 16, 32] {
            let place = index.block(startingAt: type &- prefix)
            if place >= 0 { return blocks[place].size >= prefix &+ Self.typeBytes }
        }
        return false
    }

    private func layout(of address: UInt64, _ types: inout TypeList) -> Layout? {
        guard Self.isType(address, words, typeType, depth: 0),
            let flags = words.word(address &+ Self.flagsOffset),
            let basicSize = words.word(address &+ Self.basicSizeOffset), basicSize < 1 << 32,
            let namePointer = words.word(address &+ Self.nameOffset),
            // A program may call a class whatever it likes, and code generators do.
            let name = words.text(namePointer, limit: Self.longestName, isPrintable: false)
        else { return nil }
        let isCollected = flags & Self.collectedFlag != 0
        let isManaged = flags & Self.managedFlags != 0
        let isText = flags & Self.textSubclassFlag != 0
        return Layout(
            type: types.number(.python, name), prefix: (isCollected ? 16 : 0) + (isManaged ? 16 : 0),
            isCollected: isCollected,
            basicSize: isText ? Self.textBytes : min(basicSize, Self.withoutZone[name] ?? basicSize),
            isMeta: flags & Self.typeSubclassFlag != 0)
    }

    private static func isType(_ address: UInt64, _ words: WordCache, _ typeType: UInt64, depth: Int) -> Bool
    {
        if address == typeType { return true }
        guard depth < 4, let meta = words.word(address &+ typeOffset) else { return false }
        if meta == typeType { return true }
        guard meta & 7 == 0, isType(meta, words, typeType, depth: depth + 1),
            let flags = words.word(meta &+ flagsOffset)
        else { return false }
        return flags & typeSubclassFlag != 0
    }
}
