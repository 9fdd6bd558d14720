// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Object types of a large Swift program that is not ours, against a list of its objects that is made in another way.
@Suite struct RealSwiftProgramTests {
    /// swift-format, stopped in the middle of its work: what it has to say goes into a pipe that nobody reads.
    @Test(.enabled(if: Command.has("swift-format"), "the toolchain has no swift-format"))
    func classesOfSwiftFormat() throws {
        let place = try TemporaryDirectory()
        let (pipe, source, list) = (place.file("pipe"), place.file("big.swift"), place.file("truth"))
        try (0..<800).map { "func f\($0)( )  {\n   let a = \($0);\n     var b=a\n}\n\n" }.joined()
            .write(toFile: source, atomically: true, encoding: .utf8)
        try #require(mkfifo(pipe, 0o600) == 0)
        let truth = try Compiled.fixture("swift_truth.c", ["-O2", "-fno-builtin-free", "-shared", "-fPIC"])
        let program = try Stepped(
            ["sh", "-c", "exec \"$@\" 2<>\"$0\"", pipe, "swift-format", "lint", source],
            ["LD_PRELOAD": truth + ":" + (try Build.library()), "SWIFT_TRUTH": list])
        // Reaped, too: a dead child that nobody waits for keeps the exit tests of other suites from their end.
        defer {
            kill(program.running.pid, SIGKILL)
            _ = try? program.running.wait(timeout: 20)
        }

        let deadline = Date(timeIntervalSinceNow: 60)
        var answer: TypeAnswer?
        var before = -1
        while Date() < deadline {
            usleep(200_000)
            answer = try? program.types()
            let arenas = answer?.count("SwiftSyntax.RawSyntaxArena") ?? 0
            if arenas > 0, answer?.objects.blocks == before, answer?.objects.changedBlocks == 0 { break }
            before = answer?.objects.blocks ?? -1
        }
        let found = try #require(answer)
        #expect(found.objects.changedBlocks == 0)

        kill(program.running.pid, SIGUSR1)
        var text = ""
        while Date() < deadline, !text.hasSuffix("end\n") {
            usleep(50_000)
            text = (try? String(contentsOfFile: list, encoding: .utf8)) ?? ""
        }
        // What the runtime's library allocates by itself, as Swift's own containers, is not in the list; generic and private
        // names are written in other ways.
        var classes = 0
        var objects = 0
        for line in text.split(separator: "\n").dropLast() {
            let parts = line.split(separator: " ", maxSplits: 1)
            let (name, count) = (String(parts[1]), try #require(Int(parts[0])))
            if name.hasPrefix("Swift.") || name.contains("<") || name.contains("(") { continue }
            #expect(found.count(name) == count, "\(name)")
            classes += 1
            objects += count
        }
        #expect(classes >= 10 && objects > 2_000, "\(text)")
    }
}
