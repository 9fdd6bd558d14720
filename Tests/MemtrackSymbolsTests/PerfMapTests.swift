// SPDX-License-Identifier: Apache-2.0

import MemtrackSymbols
import Testing

@Suite struct PerfMapTests {
    @Test func findsFunctionsByAddress() {
        let map = PerfMap(
            parsing: """
                7f0000001000 20 LazyCompile:~add /app/a b.js:1
                0x7f0000002000 0x100 py::work:/x.py
                7f0000000000 8 first
                """)
        #expect(map.name(at: 0x7f00_0000_1000) == "LazyCompile:~add /app/a b.js:1")
        #expect(map.name(at: 0x7f00_0000_101f) == "LazyCompile:~add /app/a b.js:1")
        #expect(map.name(at: 0x7f00_0000_1020) == nil)
        #expect(map.name(at: 0x7f00_0000_20ff) == "py::work:/x.py")
        #expect(map.name(at: 0x7f00_0000_0007) == "first")
        #expect(map.name(at: 0) == nil)
        #expect(map.skippedLines == 0)
    }

    @Test func laterLinesReplaceEarlierOnes() {
        let map = PerfMap(parsing: "1000 100 old\n1040 20 new\n1000 10 newest\n")
        #expect(map.name(at: 0x1000) == "newest")
        #expect(map.name(at: 0x1010) == "old")
        #expect(map.name(at: 0x1050) == "new")
        #expect(map.name(at: 0x10ff) == "old")
    }

    @Test func skipsWhatIsNoEntry() {
        let map = PerfMap(
            parsing: "\nnonsense\n12 zz name\n-5 10 name\nffffffffffffffff 10 wraps\n"
                + "11111111111111111 1 wide\n1000 10\n2000 10 good\n3000 1")
        #expect(map.skippedLines == 7)
        #expect(map.name(at: 0x2000) == "good")
        #expect(
            PerfMap(parsing: [0xff, 0x20, 0x00, 0x0a, 0x31, 0x20, 0x31, 0x20, 0xff]).name(at: 1) == "\u{fffd}"
        )
    }
}
