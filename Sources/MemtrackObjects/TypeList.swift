// SPDX-License-Identifier: Apache-2.0

/// Who says what an object is.
public enum ObjectRuntime: String, Sendable, Hashable, CaseIterable {
    case python = "Python"
    case cxx = "C++"
    case swift = "Swift"
}

/// The types met so far, each with a number from 1; 0 stands for "no type".
struct TypeList {
    struct Key: Hashable {
        var runtime: ObjectRuntime
        var name: String
    }

    private(set) var keys: [Key] = []
    private var numbers: [Key: UInt32] = [:]

    mutating func number(_ runtime: ObjectRuntime, _ name: String) -> UInt32 {
        let key = Key(runtime: runtime, name: name)
        if let known = numbers[key] { return known }
        keys.append(key)
        numbers[key] = UInt32(keys.count)
        return UInt32(keys.count)
    }
}

/// What has been found out about addresses that may be types. Addresses that are none are forgotten from time to time:
/// there may be as many as blocks.
struct Verdicts<Value> {
    private var found: [UInt64: Value] = [:]
    private var none: Set<UInt64> = []
    private static var limit: Int { 1 << 16 }

    @inline(__always)
    mutating func verdict(_ address: UInt64, _ decide: (UInt64) -> Value?) -> Value? {
        if let known = found[address] { return known }
        if none.contains(address) { return nil }
        if let value = decide(address) {
            found[address] = value
            return value
        }
        if none.count >= Self.limit { none.removeAll(keepingCapacity: true) }
        none.insert(address)
        return nil
    }
}
