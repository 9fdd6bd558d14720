// SPDX-License-Identifier: Apache-2.0

/// Who says what an object is.
public enum ObjectRuntime: String, Sendable, Hashable, CaseIterable {
    case python = "Python"
    case cxx = "C++"
    case swift = "Swift"
}

/// What the words in objects of a type say of the blocks that are theirs.
struct TypeLayout {
    /// Pointers count that lead to so many bytes past the start of a block; 0 where the words are no pointers.
    var reach: UInt64
    /// Where the pointer to the object's own buffer is for certain; -1 where there is none.
    var field = -1
    /// Several objects may lie one behind the other in a block.
    var isCxx = false

    init(reach: UInt64) { self.reach = reach }

    init(_ runtime: ObjectRuntime, _ name: String) {
        guard runtime == .python else {
            // To the start of a block, or just past the head of an array.
            self.init(reach: 16)
            isCxx = runtime == .cxx
            return
        }
        self.init(reach: Self.pointless.contains(name) ? 0 : .max)
        // Offsets of `ob_item` and of `table` behind a collector's head of 16 bytes, the same in all
        // versions.
        if name == "list" { field = 40 }
        if name == "set" || name == "frozenset" { field = 56 }
    }

    /// CPython's types that hold text and numbers: what looks like a pointer in them is none.
    private static let pointless: Set<String> = ["str", "bytes", "int", "float", "bool", "complex"]
}

/// The types met so far, each with a number from 1; 0 stands for "no type".
struct TypeList {
    struct Key: Hashable {
        var runtime: ObjectRuntime
        var name: String
    }

    private(set) var keys: [Key] = []
    /// By number.
    private(set) var layouts = [TypeLayout(reach: 0)]
    private var numbers: [Key: UInt32] = [:]

    mutating func number(_ runtime: ObjectRuntime, _ name: String) -> UInt32 {
        let key = Key(runtime: runtime, name: name)
        if let known = numbers[key] { return known }
        keys.append(key)
        layouts.append(TypeLayout(runtime, name))
        numbers[key] = UInt32(keys.count)
        return UInt32(keys.count)
    }
}
