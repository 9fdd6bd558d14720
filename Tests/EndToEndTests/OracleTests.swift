// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// With MEMTRACK_VERIFY_STACKS=1 each stack, also one that the memo answered, is compared with what libunwind says at
/// that moment: frame by frame, and in length.
@Suite struct OracleTests {
    private static let subjects = RealProgram.compared.filter { program in
        [
            "python3 json", "python3 threads", "python3 exception", "sqlite3", "git log", "perl", "g++",
            "node",
            "javac",
        ].contains(program.name)
    }

    private func run(
        _ command: [String], input: String = "", depth: Int, leastStacks: UInt64, directory: String? = nil
    ) throws {
        let session = try Session()
        let settings = ["MEMTRACK_VERIFY_STACKS": "1", "MEMTRACK_STACK_DEPTH": String(depth)]
        let finished = try session.run(command, settings, input: Data(input.utf8), directory: directory)
        if case .killed = finished.end { Issue.record("\(command): \(finished.end)") }
        let regions = try session.regions()
        let verified = regions.map(\.health.verifiedStacks).reduce(0, +)
        let skipped = regions.map(\.health.verifySkipped).reduce(0, +)
        // With nothing compared there is nothing shown. Code made at run time is compared up to there.
        #expect(verified > leastStacks, "\(command) verified \(verified), skipped \(skipped)")
        for region in regions {
            #expect(region.health.verifyMismatches == 0, "\(region.identity.arguments)")
            #expect(region.stackDepth == UInt32(depth))
        }
    }

    @Test(arguments: subjects)
    func realPrograms(_ program: RealProgram) throws {
        try run(
            program.command, input: program.input, depth: 64, leastStacks: 1000,
            directory: Workplace.directory.get().path)
    }

    @Test(
        arguments: ["-O0", "-O2", "-O2 -fno-omit-frame-pointer", "-Os -mavx2"],
        [8, 64, 256])
    func hardStacks(_ optimization: String, _ depth: Int) throws {
        let flags = optimization.split(separator: " ").map(String.init)
        try run([Compiled.fixture("stacks.cpp", flags)], depth: depth, leastStacks: 50_000)
    }

    @Test(.enabled(if: Command.has("clang++"), "clang++ is not installed"))
    func hardStacksOfClang() throws {
        let program = try Compiled.fixture("stacks.cpp", ["-O2"], compiler: "clang++")
        try run([program], depth: 64, leastStacks: 50_000)
    }

    /// Two ways to take stacks, one table: every stack, with its allocations by size class.
    @Test(arguments: [4, 64])
    func libunwindGivesTheSameSites(_ depth: Int) throws {
        func table(_ unwinder: String) throws -> [[String]: UInt64] {
            let session = try Session()
            let program = try Compiled.fixture("stacks.cpp", ["-O2"])
            let settings = ["MEMTRACK_UNWINDER": unwinder, "MEMTRACK_STACK_DEPTH": String(depth)]
            let modes = ["exceptions", "lambdas", "callbacks", "frames", "deep"]
            #expect(try session.run([program] + modes, settings).isSuccess)
            let region = try session.region()
            #expect(region.unwinder == (unwinder == "rules" ? .rules : .libunwind))
            // libunwind is loaded after the first allocations: those of the loader and of libstdc++'s start.
            return region.allocationsByStack().filter { stack, _ in stack.contains { $0.hasPrefix(program) } }
        }
        let rules = try table("rules")
        let libunwind = try table("libunwind")
        #expect(rules.count > (depth < 10 ? 50 : 150))
        #expect(rules == libunwind, "\(Set(rules.keys).symmetricDifference(libunwind.keys).first ?? [])")
    }
}

extension RegionSnapshot {
    /// Allocations by size class and stack, each frame as module and address in the file: what does not depend on
    /// where things were loaded, nor on the numbers of the records. A frame of this library's own is left out.
    func allocationsByStack() -> [[String]: UInt64] {
        var result: [[String]: UInt64] = [:]
        for cell in cells where cell.kind == .site {
            var key = ["class \(cell.sizeClass)"]
            var id = cell.stack
            while id != 0, Int(id) < nodes.count, let node = nodes[Int(id)] {
                let module = node.module.flatMap { modules[$0] }
                key.append("\(module?.path ?? "?")+\(node.address &- (module?.bias ?? 0))")
                id = node.parent
            }
            result[key, default: 0] += cell.counters.allocations
        }
        return result
    }

    /// Allocations of cells of one kind.
    func allocations(_ kind: RegionCellKind) -> UInt64 {
        cells.filter { $0.kind == kind }.map(\.counters.allocations).reduce(0, +)
    }
}
