// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import MemtrackSymbols

@Suite struct IntervalMapTests {
    @Test func findsTheHighestRankedOfNestedIntervals() {
        let map = IntervalMap([
            Interval(start: 10, end: 100, rank: 0, value: 1), Interval(start: 20, end: 30, rank: 1, value: 2),
            Interval(start: 25, end: 28, rank: 2, value: 3), Interval(start: 30, end: 30, rank: 9, value: 4),
        ])
        let expected: [(UInt64, Int?)] = [
            (9, nil), (10, 1), (19, 1), (20, 2), (24, 2), (25, 3), (27, 3), (28, 2), (29, 2), (30, 1),
            (99, 1),
            (100, nil), (.max, nil),
        ]
        for (address, value) in expected { #expect(map.value(at: address) == value, "at \(address)") }
    }

    /// Against the definition, by trying all intervals at each address.
    @Test(arguments: 0..<50)
    func agreesWithALinearSearch(seed: Int) {
        var generator = SplitMix(state: UInt64(seed))
        let intervals = (0..<Int.random(in: 0...40, using: &generator)).map { index in
            let start = UInt64.random(in: 0..<200, using: &generator)
            return Interval(
                start: start, end: start + UInt64.random(in: 0..<60, using: &generator),
                rank: index * 7 % 41, value: index)
        }
        let map = IntervalMap(intervals)
        for address in 0..<UInt64(280) {
            let best = intervals.filter { $0.start <= address && address < $0.end }.max { $0.rank < $1.rank }
            #expect(map.value(at: address) == best?.value)
        }
    }

    @Test func simplifiesPaths() {
        #expect(simplifiedPath("/a/b/../c//./d.h") == "/a/c/d.h")
        #expect(simplifiedPath("/../a") == "/a")
        #expect(simplifiedPath("../a/./b") == "../a/b")
        #expect(simplifiedPath("../../a/../b") == "../../b")
    }
}
