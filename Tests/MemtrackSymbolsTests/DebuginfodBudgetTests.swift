// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackSymbols

/// In processes of their own: the environment belongs to all tests.
@Suite struct DebuginfodBudgetTests {
    @Test func boundsTheTimeOfALookup() async {
        await #expect(processExitsWith: .success) {
            setenv("DEBUGINFOD_URLS", "http://localhost:1", 1)
            setenv("DEBUGINFOD_MAXTIME", "7", 1)
            unsetenv("DEBUGINFOD_TIMEOUT")
            let budget = DebuginfodBudget(seconds: 0.05)
            budget.lookUp {
                usleep(100_000)
                precondition(String(cString: getenv("DEBUGINFOD_TIMEOUT")) == "10")
                precondition(String(cString: getenv("DEBUGINFOD_MAXTIME")) == "7", "the user's own")
                precondition(getenv("DEBUGINFOD_URLS") != nil)
            }
            precondition(getenv("DEBUGINFOD_TIMEOUT") == nil, "must not reach programs started later")
            // The time is used up: the servers are out of sight, but not forgotten.
            precondition(budget.lookUp { getenv("DEBUGINFOD_URLS") == nil })
            precondition(getenv("DEBUGINFOD_URLS").map { String(cString: $0) } == "http://localhost:1")
        }
    }

    @Test func leavesTheEnvironmentAloneWithoutServers() async {
        await #expect(processExitsWith: .success) {
            unsetenv("DEBUGINFOD_URLS")
            unsetenv("DEBUGINFOD_TIMEOUT")
            precondition(DebuginfodBudget().lookUp { getenv("DEBUGINFOD_TIMEOUT") == nil })
        }
    }
}
