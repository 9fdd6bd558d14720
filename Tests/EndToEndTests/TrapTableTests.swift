// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Traps.md is what it says: its tests exist, and none of the traps' is missing.
@Suite struct TrapTableTests {
    /// `Suite.function` of every test in the sources.
    private static func tests() throws -> Set<String> {
        let root = Build.root + "/Tests"
        let all = FileManager.default.enumerator(atPath: root)?.allObjects ?? []
        var found: Set<String> = []
        for case let file as String in all where file.hasSuffix("Tests.swift") {
            let text = try String(contentsOfFile: root + "/" + file, encoding: .utf8)
            var suite = ""
            var isTest = false
            for line in text.split(separator: "\n") {
                if let name = line.firstMatch(of: /^\S*.*\bstruct (\w+Tests)\b/) { suite = String(name.1) }
                if line.contains("@Test") { isTest = true }
                guard let name = line.firstMatch(of: /\bfunc (\w+)/) else { continue }
                if isTest { found.insert("\(suite).\(name.1)") }
                isTest = false
            }
        }
        return found
    }

    @Test func namesEachTestOnce() throws {
        let table = try String(contentsOfFile: Build.root + "/Tests/EndToEndTests/Traps.md", encoding: .utf8)
        let rows = table.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasPrefix("| trap") }
        var named: [String] = []
        for row in rows where !row.hasPrefix("| **") {
            let tests = row.matches(of: /`(\w+Tests\.\w+)`/).map { String($0.1) }
            #expect(!tests.isEmpty, "no test: \(row)")
            named += tests
        }
        let existing = try Self.tests()
        #expect(named.filter { !existing.contains($0) } == [])
        #expect(named.count == Set(named).count)
        let ofTraps = existing.filter { $0.hasPrefix("Trap") && !$0.hasPrefix("TrapTableTests") }
        #expect(ofTraps.subtracting(named).sorted() == [])
        #expect(ofTraps.count > 60)
    }
}
