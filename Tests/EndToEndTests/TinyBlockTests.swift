// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Blocks of at most 8 bytes of allocators that place them 8 bytes apart: they stand beside the live map, and the census
/// sees them all the same.
@Suite struct TinyBlockTests {
    /// What is counted as live is what the census finds, block for block.
    private static func look(_ command: [String], _ variables: [String: String]) throws -> TypeAnswer {
        let program = try Stepped(command, variables)
        _ = try program.line("ready")
        let answer = try program.types()
        let totals = try RegionFile(path: program.region).snapshot().totals
        #expect(try program.finish().isSuccess)
        #expect(answer.objects.changedBlocks == 0)
        #expect(answer.objects.blocks == Int(totals.liveBlocks))
        #expect(answer.objects.bytes == Int(totals.liveBytes))
        return answer
    }

    @Test(arguments: ["", "libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
    func ofEachAllocator(_ name: String) throws {
        var preload = try Build.library()
        if !name.isEmpty {
            let known = try Command.run(["/sbin/ldconfig", "-p"]).outputText
            let line = known.split(separator: "\n").first { $0.contains(name) }
            preload += ":" + (try #require(line?.split(separator: " ").last.map(String.init), "no \(name)"))
        }
        let program = try Compiled.fixture("tiny.c", ["-O1", "-fno-builtin"])
        let answer = try Self.look([program], ["LD_PRELOAD": preload])
        let row = answer.types.first { $0.name.contains("keep_tiny") }
        #expect(row?.count == 7500)
        // Of each eight sizes the first and the fifth are freed.
        #expect(row?.bytes == 1250 * (2 + 3 + 4 + 6 + 7 + 8))
    }

    /// The first block of a new stack goes the long way into the table, the others the short way into the map.
    @Test(arguments: Pythons.all) func ofLists(_ python: String) throws {
        let script = """
            import gc, os
            def make(): return [[n] for n in range(4000)]
            gc.disable()
            kept = make()
            for n in range(200):
                scope = {}
                exec(f"def f{n}(): return [{n}].copy()", scope)
                kept.append(scope[f"f{n}"]())
            print("ready", flush=True)
            os.read(0, 1)
            """
        let answer = try Self.look([python, "-S", "-c", script], ["MEMTRACK_OBJECTS": "1"])
        #expect(answer.count("list") >= 4200)
    }
}
