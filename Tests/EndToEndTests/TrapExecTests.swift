// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Programs that are started with an environment made from scratch, and `--follow-exec`. The fixture is cleaned.c.
@Suite struct TrapExecTests {
    static let ways = [
        "execve", "execle", "execvpe", "fexecve", "posix_spawn", "posix_spawnp", "vfork", "execv", "execvp",
        "execl",
        "execlp",
    ]

    private func run(_ way: String, _ settings: [String: String]) throws -> (Session, [String]) {
        let session = try Session()
        let finished = try session.run([Compiled.fixture("cleaned.c", ["-O1"]), way], settings)
        #expect(finished.isSuccess, "\(way): \(finished.end)")
        return (session, finished.outputText.split(separator: "\n").map(String.init))
    }

    /// Guards that the environment is the program's: what it takes away stays away.
    @Test(arguments: ways) func inherit(_ way: String) throws {
        let (session, environment) = try run(way, [:])
        #expect(environment == ["ONLY=this"])
        #expect(try session.regions().count == 1)
    }

    /// Guards each wrapper: the second program is counted, and has what it was given beside what is ours.
    @Test(arguments: ways) func force(_ way: String) throws {
        let (session, environment) = try run(way, ["MEMTRACK_FOLLOW_EXEC": "force"])
        #expect(environment.contains("ONLY=this"))
        #expect(
            environment.allSatisfy {
                $0 == "ONLY=this" || $0.hasPrefix("MEMTRACK_") || $0.hasPrefix("LD_PRELOAD=")
            })
        let second = try #require(try session.regions().last)
        #expect(second.identity.arguments.last == "second")
        let made = second.cells.filter { $0.sizeClass == SizeClass.containing(123) }
        #expect(made.map(\.counters.allocations).reduce(0, +) == 7)
    }

    /// Guards that a program which exec puts in place uncounted is no "nothing is live": it is named, with the reason and the way
    /// out, and has its row; what the one before it held is in no table.
    @Test(arguments: [true, false]) func saysWhatExecLeftUncounted(_ isStatic: Bool) throws {
        let source = Build.root + "/Tests/Fixtures/attached.c"
        let place = try TemporaryDirectory()
        let program = place.file("uncounted")
        let built = try Command.run(["cc", source, "-o", program] + (isStatic ? ["-static"] : []))
        try #require(built.isSuccess, "\(built.errorText)")
        let start = isStatic ? program : "env -i " + program
        let (report, run) = try Report.of(
            ["sh", "-c", "(sleep 2) | exec \(start)"], options: ["-i", "0.5"])
        #expect(run.end == .exited(3))
        let reason = isStatic ? "is statically linked" : "--follow-exec force"
        let notes = report.notes.filter { $0.contains("became uncounted, which is not counted: ") }
        #expect(notes.count == 1 && notes[0].contains(reason), "\(report.notes)")
        // Said at a checkpoint, too.
        let text = run.errorText
        let early = try #require(text.range(of: "which is not counted"), "\(text)")
        let end = try #require(text.range(of: "exit status 3"))
        #expect(early.lowerBound < end.lowerBound)
        let row = try #require(report.processes.first { $0.executable == program })
        #expect(row.totals == nil && row.figures.map { $0.rssBytes > 0 } == true && !row.running)
        let counted = report.processes.filter { !$0.replaced }.compactMap(\.totals)
        #expect(report.totals?.liveBlocks == counted.reduce(0) { $0 + $1.liveBlocks })
    }

    /// Other preloaded libraries are kept, ours is not named twice.
    @Test func forceKeepsOtherLibraries() throws {
        let other = try Compiled.fixture("early.c", ["-O1", "-shared", "-fPIC"])
        let session = try Session()
        let script = "exec env -i LD_PRELOAD=\(other) sh -c 'echo $LD_PRELOAD; exec env'"
        let finished = try session.run(["sh", "-c", script], ["MEMTRACK_FOLLOW_EXEC": "force"])
        let lines = finished.outputText.split(separator: "\n").map(String.init)
        let library = try Build.library()
        #expect(lines.first == "\(library):\(other)")
        #expect(lines.filter { $0.hasPrefix("LD_PRELOAD=") } == ["LD_PRELOAD=\(library):\(other)"])
        #expect(finished.errors.isEmpty)
    }

    private struct Processes: Decodable {
        struct Process: Decodable { var commandLine: [String]? }
        var processes: [Process]
    }

    /// The option of the launcher: how many images were counted.
    @Test(arguments: [("inherit", 2), ("force", 3), ("off", 1)])
    func launcherOption(_ how: String, _ images: Int) throws {
        let place = try TemporaryDirectory()
        let json = place.file("out.json")
        let program = try Compiled.fixture("cleaned.c", ["-O1"])
        // The shell, a child that inherits, and one with an empty environment.
        let finished = try Command.run([
            try Build.launcher(), "-q", "--no-history", "--json", json, "--follow-exec", how, "sh", "-c",
            "\(program) second >/dev/null; \(program) vfork >/dev/null; true",
        ])
        #expect(finished.isSuccess, "\(finished.errorText)")
        let report = try JSONDecoder().decode(
            Processes.self, from: Data(contentsOf: URL(fileURLWithPath: json)))
        // The second program there is an image of its own: one more than its argument says, where it is counted.
        #expect(report.processes.count == (how == "off" ? 1 : images + 1), "\(how)")
    }

    /// A wrapper that becomes the program (env, a shell's exec, pyenv's shims) leaves no leaks in the program's report: what it
    /// held went with it. Of one that has ended by itself they stay.
    @Test(arguments: [("exec env A=1 \"$0\" second", 1), ("env A=1 \"$0\" second; exit 0", 2)])
    func whatExecReplacedIsNotLive(_ script: String, _ programs: Int) throws {
        let (report, run) = try Report.of(
            ["sh", "-c", script, Compiled.fixture("cleaned.c", ["-O1"])], options: ["-q"])
        #expect(run.isSuccess, "\(run.errorText)")
        let replaced = report.processes.filter(\.replaced)
        let ended = report.processes.filter { !$0.replaced }
        #expect(ended.count == programs)
        #expect(replaced.contains { $0.executable.hasSuffix("/env") })
        let held = replaced.compactMap(\.totals)
        #expect(held.contains { $0.liveBlocks > 0 })
        #expect(report.freedByExec.blocks == held.map(\.liveBlocks).reduce(0, +))
        #expect(report.freedByExec.bytes == held.map(\.liveBytes).reduce(0, +))
        let totals = try #require(report.totals)
        #expect(totals.liveBlocks == ended.compactMap(\.totals?.liveBlocks).reduce(0, +))
        #expect(totals.liveBytes == ended.compactMap(\.totals?.liveBytes).reduce(0, +))
        #expect(totals.allocations == report.processes.compactMap(\.totals?.allocations).reduce(0, +))
        #expect(totals.liveBlocks == report.sites.map(\.totals.liveBlocks).reduce(0, +))
        // The seven blocks of the last image are still there.
        let made = report.sizeClasses.filter { $0.minimumBytes <= 123 && 123 <= $0.maximumBytes }
        #expect(made.map(\.totals.liveBlocks).reduce(0, +) >= 7)
    }
}
