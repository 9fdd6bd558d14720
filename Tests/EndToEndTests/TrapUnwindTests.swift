// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// What taking a stack must not do, and where it ends. The fixture is unwinding.c.
@Suite struct TrapUnwindTests {
    /// Guards the descriptors of a program that has closed libunwind's: it writes to them what it wants to know to be readable, and
    /// where that fails it closes them and takes new ones.
    @Test func comparingLeavesTheDescriptorsOfTheProgramAlone() throws {
        let place = try TemporaryDirectory()
        let session = try Session()
        let program = try Compiled.fixture("unwinding.c", ["-O1"])
        let run = try session.run([program, "files", place.file("f")], ["MEMTRACK_VERIFY_STACKS": "1"])
        #expect(run.end == .exited(0), "\(run.errorText)")
        let health = try session.region().health
        #expect(health.verifySkipped > 0)
        #expect(health.verifyMismatches == 0)
    }

    /// A thread inside dl_iterate_phdr holds the loader's lock. Whoever waits for that inside a hook waits for a
    /// program that may be waiting for the hook.
    @Test func neverEntersTheLoadersLock() throws {
        let session = try Session()
        let library = try Compiled.fixture(
            "plugin.c", ["-shared", "-fPIC", "-DPLUGIN=one", "-DROOM=16"])
        let program = try Compiled.fixture("unwinding.c", ["-O1"])
        #expect(try session.run([program, "lock", library]).end == .exited(0))
        let region = try session.region()
        // The stacks were taken, not given up: as many cells as paths.
        let classOf40 = SizeClass.containing(40)
        let stacks = Set(
            region.cells.filter { $0.sizeClass == classOf40 && $0.counters.allocations == 1 }.map(\.stack))
        #expect(stacks.count >= 4096)
        #expect(region.modules.values.contains { $0.path == library })
        #expect(region.health.incompleteStacks == 0)
    }

    @Test(arguments: [2, 16, 64, 256], ["rules", "libunwind"])
    func recursionIsCutAndMarked(_ depth: Int, _ unwinder: String) throws {
        for recursion in [10, 5000] {
            let session = try Session()
            let program = try Compiled.fixture("unwinding.c", ["-O1"])
            let settings = ["MEMTRACK_STACK_DEPTH": "\(depth)", "MEMTRACK_UNWINDER": unwinder]
            #expect(try session.run([program, "deep", "\(recursion)"], settings).isSuccess)
            let region = try session.region()
            let cell = try #require(
                region.cells.first { cell in
                    cell.kind == .site && cell.counters.allocatedBytes == 77
                })
            var frames: [RegionNode] = []
            var id = cell.stack
            while id != 0, let node = region.nodes[Int(id)] {
                frames.append(node)
                id = node.parent
            }
            let isCut = frames.last?.isTruncated ?? false
            if recursion > depth {
                #expect(frames.count == depth)
                #expect(isCut)
                #expect(region.health.truncatedStacks > 0)
                // The innermost are kept: the call of malloc, then the calls of deep to itself.
                #expect(frames.dropFirst().allSatisfy { $0.address == frames[1].address })
            } else if depth > recursion + 8 {
                #expect(frames.count > recursion)
                #expect(!isCut)
            }
        }
    }
}
