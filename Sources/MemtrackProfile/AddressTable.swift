// SPDX-License-Identifier: Apache-2.0

/// Numbers for pairs of words, by open addressing.
///
/// A session of thousands of processes looks up millions of addresses and stacks, most of them known: `Dictionary`,
/// whose hash withstands attackers, took most of a launcher's time. Keys of a hostile region can make this as
/// slow as its nodes are many, no more: one look-up goes through at most `most` slots, and what it finds no
/// room for near its place makes the table grow, up to a limit, past which it is not kept.
struct AddressTable {
    private struct Slot {
        var address: UInt64
        var space: UInt32
        /// 0: the slot is free.
        var number: UInt32
    }

    private static let most = 64
    private static let largest = 1 << 24

    private var slots = [Slot](repeating: Slot(address: 0, space: 0, number: 0), count: 1024)
    private(set) var count = 0

    @inline(__always)
    private func place(_ address: UInt64, _ space: UInt32) -> Int {
        let mixed = (address ^ UInt64(space) << 40) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: (mixed ^ mixed >> 32) & UInt64(slots.count - 1))
    }

    /// The number of a pair; 0 if it has none.
    func number(_ address: UInt64, _ space: UInt32) -> UInt32 {
        let mask = slots.count - 1
        var at = place(address, space)
        return slots.withUnsafeBufferPointer { slots in
            for _ in 0..<Self.most {
                let slot = slots[at]
                if slot.number == 0 { return 0 }
                if slot.address == address && slot.space == space { return slot.number }
                at = (at + 1) & mask
            }
            return 0
        }
    }

    /// Of a pair that has none yet.
    mutating func set(_ number: UInt32, _ address: UInt64, _ space: UInt32) {
        if count > slots.count / 2 { grow() }
        while !put(Slot(address: address, space: space, number: number)) {
            if slots.count >= Self.largest { return }
            grow()
        }
        count += 1
    }

    private mutating func put(_ slot: Slot) -> Bool {
        var at = place(slot.address, slot.space)
        for _ in 0..<Self.most {
            if slots[at].number == 0 {
                slots[at] = slot
                return true
            }
            at = (at + 1) & (slots.count - 1)
        }
        return false
    }

    private mutating func grow() {
        guard slots.count < Self.largest else { return }
        let old = slots
        slots = Array(repeating: Slot(address: 0, space: 0, number: 0), count: old.count * 2)
        // One that finds no room near its place is forgotten, and numbered anew when it comes again.
        for slot in old where slot.number != 0 { _ = put(slot) }
    }
}
