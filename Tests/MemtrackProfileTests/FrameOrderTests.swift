// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import MemtrackProfile

@Suite struct FrameOrderTests {
    /// Frames that come later are put in their places among those that were ranked before.
    @Test func ranksAreTheOrderOfTexts() {
        var interner = StackInterner(wrappers: WrapperMatcher())
        for round in 0..<6 {
            for number in 0..<(round == 0 ? 40 : round) {
                _ = interner.frame(
                    Frame(
                        function: "f\((number * 7919 + round * 31) % 23)", line: (number * 17 + round) % 5,
                        module: "/lib/lib\(number % 3).so"))
            }
            interner.rank()
            let table = interner.table
            for left in 0..<FrameID(table.frames.count) {
                for right in 0..<FrameID(table.frames.count) {
                    #expect(
                        table.precedes(left, right) == Frame.precedes(table.frame(left), table.frame(right)))
                }
            }
        }
    }
}
