// SPDX-License-Identifier: Apache-2.0

/// From a word to a number: what is asked for each block must not cost a hash of eight rounds.
struct WordTable {
    /// Key 0 marks a free place; no address and no key of the census is 0.
    private var places: [(key: UInt64, value: UInt32)]
    private var shift: UInt64
    private(set) var count = 0

    init() {
        shift = 64 - 8
        places = Array(repeating: (0, 0), count: 1 << 8)
    }

    @inline(__always)
    private func home(_ key: UInt64) -> Int { Int((key &* 0x9e37_79b9_7f4a_7c15) >> shift) }

    /// nil if the key is not there.
    @inline(__always)
    func value(_ key: UInt64) -> UInt32? {
        places.withUnsafeBufferPointer { places in
            var place = home(key)
            while places[place].key != key {
                if places[place].key == 0 { return nil }
                place = (place &+ 1) & (places.count &- 1)
            }
            return places[place].value
        }
    }

    /// - Parameter key: not 0, and not there yet.
    mutating func insert(_ key: UInt64, _ value: UInt32) {
        if key == 0 { return }
        if count &* 2 >= places.count { grow() }
        put(key, value)
        count += 1
    }

    private mutating func put(_ key: UInt64, _ value: UInt32) {
        var place = home(key)
        while places[place].key != 0 { place = (place + 1) & (places.count - 1) }
        places[place] = (key, value)
    }

    private mutating func grow() {
        let old = places
        places = Array(repeating: (0, 0), count: old.count * 2)
        shift -= 1
        for entry in old where entry.key != 0 { put(entry.key, entry.value) }
    }

    /// Forgets all keys with a value.
    mutating func remove(value: UInt32) {
        let old = places
        self = WordTable()
        for entry in old where entry.key != 0 && entry.value != value { insert(entry.key, entry.value) }
    }
}

/// What has been found out about addresses that may be types: a number, or 0 where an address is none. Those are forgotten
/// from time to time: there may be as many as blocks.
struct Verdicts {
    private var table = WordTable()
    private var rejected = 0
    private static var limit: Int { 1 << 16 }

    /// nil where nothing is known.
    @inline(__always)
    func known(_ address: UInt64) -> UInt32? { table.value(address) }

    mutating func add(_ address: UInt64, _ verdict: UInt32) {
        if verdict == 0 {
            if rejected >= Self.limit {
                table.remove(value: 0)
                rejected = 0
            }
            rejected += 1
        }
        table.insert(address, verdict)
    }
}
