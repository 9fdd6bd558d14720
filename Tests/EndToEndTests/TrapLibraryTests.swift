// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What the library may ask of the program it is loaded into: nothing but libc, and no name but the interposed ones and
/// the client's.
@Suite struct TrapLibraryTests {
    private func readelf(_ options: String...) throws -> [String] {
        let finished = try Command.run(["readelf", "-W"] + options + [Build.library()])
        guard finished.isSuccess else { throw HarnessError(finished.errorText) }
        return finished.outputText.split(separator: "\n").map(String.init)
    }

    @Test func needsLibcAlone() throws {
        let dynamic = try readelf("-d")
        let needed = dynamic.filter { $0.contains("(NEEDED)") }.compactMap { line in
            line.split(separator: "[").last?.split(separator: "]").first.map(String.init)
        }
        #expect(needed == ["libc.so.6"])
    }

    @Test func flags() throws {
        let dynamic = try readelf("-d")
        #expect(!dynamic.contains { $0.contains("TEXTREL") })
        let flags = try #require(dynamic.first { $0.contains("(FLAGS_1)") })
        // The program may not unload us; nothing in a hook enters the lazy binder.
        #expect(flags.contains("NODELETE"))
        #expect(flags.contains("NOW"))
        #expect(try !readelf("-l").contains { $0.contains("GNU_STACK") && $0.contains("RWE") })
    }

    /// Golden/exports.txt is the list; a name more or less is a decision.
    @Test func exportsAreTheList() throws {
        let symbols = try readelf("--dyn-syms")
        let exported = symbols.compactMap { line -> String? in
            let fields = line.split(separator: " ")
            guard fields.count == 8, ["GLOBAL", "WEAK"].contains(fields[4]), fields[6] != "UND" else {
                return nil
            }
            return String(fields[7])
        }
        let golden = try String(
            contentsOfFile: Build.root + "/Tests/EndToEndTests/Golden/exports.txt", encoding: .utf8)
        #expect(exported.sorted() == golden.split(separator: "\n").map(String.init))
    }
}
