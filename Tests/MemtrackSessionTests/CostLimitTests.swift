// SPDX-License-Identifier: Apache-2.0
import MemtrackSession
import Testing

@Suite struct CostLimitTests {
    /// What was preempted for ten milliseconds has cost what it took of the processor: it is due again when a thousand times
    /// that has passed, not ten seconds later.
    @Test func waitingForAProcessorCostsNothing() {
        var limit = CostLimit()
        #expect(limit.isDue(at: 0))
        let cost: UInt64 = 20_000
        limit.spent(cost, until: 10_000_000)
        #expect(!limit.isDue(at: 10_000_000 + cost * 1_000 - 1))
        #expect(limit.isDue(at: 10_000_000 + cost * 1_000))
    }

    @Test func whatCostsMuchIsSeldom() {
        var limit = CostLimit()
        limit.spent(100_000_000, until: 5)
        #expect(!limit.isDue(at: 99_000_000_000))
        #expect(limit.isDue(at: 100_000_000_005))
    }
}
