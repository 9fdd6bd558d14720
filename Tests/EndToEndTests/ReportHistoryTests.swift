// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Checkpoints, the history files, and what is left when launcher or target do not end as usual.
@Suite struct ReportHistoryTests {
    private struct History {
        var text: String
        var lines: [[String: Any]]
        var name: String
    }

    private static func history(in directory: String) throws -> History {
        let all = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
        // The profile and its companion are there too, unless the launcher was killed.
        let names = all.filter { $0.contains("_memory_monitor_") }
        guard all.count == 4 || all.count == 2, names.count == 2, names[0].hasSuffix(".jsonl"),
            names[1].hasSuffix(".txt"),
            names[0].dropLast(6) == names[1].dropLast(4)
        else { throw HarnessError("\(directory) holds \(all)") }
        let text = try String(contentsOfFile: directory + "/" + names[1], encoding: .utf8)
        let lines = try String(contentsOfFile: directory + "/" + names[0], encoding: .utf8)
        #expect(lines.hasSuffix("}\n"))
        let objects = try lines.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        return History(text: text, lines: objects, name: names[1])
    }

    /// Children that have ended before the program are not live at its end: what they left unfreed, added up, was the
    /// peak of the history, and frees went down. In the report it stands, under "live at exit".
    @Test func lastCheckpointHasWhatWasLiveThen() throws {
        let directory = try TemporaryDirectory()
        let script = """
            import ctypes, os, time
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            libc.malloc(ctypes.c_size_t(1000000))
            for _ in range(3):
                if os.fork() == 0:
                    for _ in range(5): libc.malloc(ctypes.c_size_t(1000000))
                    time.sleep(0.5)
                    os._exit(0)
                os.wait()
            time.sleep(0.8)
            os._exit(0)
            """
        let json = directory.file("end.json")
        let run = try Command.run([
            try Build.launcher(), "-q", "-i", "0.2", "--history-dir", directory.file("history"), "--json",
            json,
            try #require(Command.python), "-c", script,
        ])
        #expect(run.end == .exited(0), "\(run.errorText)")
        let lines = try Self.history(in: directory.file("history")).lines
        let totals = lines.compactMap { $0["totals"] as? [String: Any] }
        let live = totals.compactMap { $0["liveBytes"] as? Int }
        #expect(try #require(live.max()) > 6_000_000 && live.allSatisfy { $0 < 9_000_000 }, "\(live)")
        #expect(try #require(live.last) > 1_000_000 && live.last! < 4_000_000, "\(live)")
        let frees = totals.compactMap { $0["frees"] as? Int }
        #expect(frees == frees.sorted())
        let end = try Report(try Data(contentsOf: URL(fileURLWithPath: json)))
        #expect(try #require(end.totals).liveBytes > 15_000_000)
    }

    @Test func isWrittenAtEachCheckpoint() throws {
        let directory = try TemporaryDirectory()
        let running = try Running([
            try Build.launcher(), "-i", "0.3", "--history-dir", directory.file("a/b"), "sleep", "1.1",
        ])
        let run = try running.wait()
        #expect(run.end == .exited(0))
        let history = try Self.history(in: directory.file("a/b"))
        let pattern = /sleep_memory_monitor_\d{8}_\d{6}_pid\d+\.txt/
        #expect(try pattern.wholeMatch(in: history.name) != nil)
        let count = history.lines.count
        // On a busy machine a checkpoint may be missed, which is then not made up for; none comes too early.
        #expect((2...4).contains(count))
        #expect(history.lines.compactMap { $0["number"] as? Int } == Array(1...count))
        let times = history.lines.compactMap { $0["elapsedSeconds"] as? Double }
        #expect(zip(times.dropLast(), 1...).allSatisfy { $0 >= 0.3 * Double($1) - 0.001 })
        #expect(try #require(times.last) >= 1.1)
        for number in 1...count { #expect(history.text.contains("Checkpoint \(number) ")) }
        #expect(history.text.contains("command   sleep 1.1"))
        #expect(history.text.contains("Overall"))
        #expect(history.text.contains("average"))
        #expect(!history.text.contains("\u{1b}"))
        #expect(run.errorText.contains("Checkpoint 1 "))
        #expect(run.errorText.contains(directory.file("a/b") + "/" + history.name))
        let figures = try #require(history.lines[0]["figures"] as? [String: Any])
        #expect(try #require(figures["rssBytes"] as? Int) > 100_000)
        #expect(history.lines[0]["sites"] is [Any])
    }

    @Test func isMadeAfterTheEndWhereThereWasNoCheckpoint() throws {
        let directory = try TemporaryDirectory()
        let run = try Command.run(
            [try Build.launcher(), "-q", "ls", "-a"], directory: directory.path)
        #expect(run.outputText == ".\n..\n")
        let history = try Self.history(in: directory.file("data/memory_diagnostics"))
        #expect(history.lines.count == 1)
        let none = try TemporaryDirectory()
        _ = try Command.run([try Build.launcher(), "-q", "--no-history", "ls"], directory: none.path)
        #expect(none.entries() == [])
    }

    /// After an upgrade: regions of the old version are told from damaged ones, and go where no process has their PID.
    @Test func cleanRemovesWhatAnotherVersionHasLeft() throws {
        let nobody: Int32 = 4_194_303  // the kernel's pid_max at most, and hardly ever given out
        let session = try Session(listedFor: nobody)
        let run = try session.run([try ReportTests.target(), "exit"])
        #expect(run.isSuccess)
        var old = try Data(contentsOf: URL(fileURLWithPath: try #require(session.files().last).path))
        old = old.prefix(65_536)
        old[8] = 1  // its version
        let (gone, alive) = (
            session.directory.file("region-\(nobody)-1"), session.directory.file("region-\(getpid())-1")
        )
        for path in [gone, alive] { try old.write(to: URL(fileURLWithPath: path)) }
        let list = try Command.run([try Build.reader(), "list", "--all"], environment: ["COLUMNS": "200"])
        let lines = list.outputText.split(separator: "\n").filter { $0.contains("made by another version") }
        #expect(lines.contains { $0.contains(" ended ") } && lines.contains { $0.contains(" unreadable ") })
        let clean = try Command.run([try Build.reader(), "clean", "--dry-run"])
        #expect(clean.outputText.contains("would remove \(gone)\n"))
        #expect(!clean.outputText.contains(alive))
    }

    @Test func survivesALauncherThatIsKilled() throws {
        let directory = try TemporaryDirectory()
        let script = "echo $$; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.25; done; echo done"
        let running = try Running([
            try Build.launcher(), "-i", "0.3", "--history-dir", directory.path, "sh", "-c", script,
        ])
        let deadline = Date(timeIntervalSinceNow: 20)
        while !running.errors().contains("Checkpoint 2 "), Date() < deadline { usleep(20_000) }
        let target = try #require(Int32(running.output().prefix { $0.isNumber }))
        kill(running.pid, SIGKILL)
        _ = try running.wait()
        #expect(kill(target, 0) == 0)
        let history = try Self.history(in: directory.path)
        #expect(history.lines.count >= 2)
        #expect(history.text.contains("Checkpoint 2 "))

        let report = try Command.run([try Build.reader(), "report", "--pid", "\(target)", "--json"])
        #expect(report.isSuccess)
        #expect(try #require(try Report(report.output).totals).allocations > 0)
        while !running.output().contains("done"), Date() < deadline { usleep(50_000) }
        #expect(running.output().contains("done"))
        // What it left is there to look at until somebody removes it.
        let region = try #require(try Self.list().last { $0.pid == target })
        let again = try Command.run([try Build.reader(), "report", "--region", region.path])
        #expect(again.isSuccess)
        #expect(again.outputText.contains("Live at exit"))
        try FileManager.default.removeItem(
            atPath: URL(fileURLWithPath: region.path).deletingLastPathComponent().path)
    }

    /// One that has not allocated when the launcher ends has a session to count in all the same.
    @Test(arguments: ["daemon", "late"]) func saysThatADaemonLivesOn(_ mode: String) throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("pid")
        let (report, run) = try Report.of([try ReportTests.target(), mode, file])
        let deadline = Date(timeIntervalSinceNow: 20)
        var daemon: Int32?
        while daemon == nil, Date() < deadline {
            daemon = (try? String(contentsOfFile: file, encoding: .utf8)).flatMap { Int32($0.dropLast()) }
            usleep(20_000)
        }
        let pid = try #require(daemon)
        defer { kill(pid, SIGKILL) }
        var listed = try Self.list().last { $0.pid == pid }
        while listed == nil, Date() < deadline {  // until its first allocation
            usleep(20_000)
            listed = try Self.list().last { $0.pid == pid }
        }
        let session = try #require(listed).path
        defer {
            try? FileManager.default.removeItem(
                atPath: URL(fileURLWithPath: session).deletingLastPathComponent().path)
        }
        #expect(run.end == .exited(0))
        if report.processes.contains(where: { $0.pid == pid }) {
            #expect(report.notes.contains { $0.contains("memtrack report --pid \(pid)") })
            #expect(run.errorText.contains("still running"))
        }
        let entry = try #require(try Self.list().last { $0.pid == pid })
        #expect(entry.isAlive)
        let live = try Command.run([try Build.reader(), "report", "--pid", "\(pid)", "--json"])
        let now = try Report(live.output)
        #expect(now.site("allocate_here")?.totals.allocations == 1000)
        #expect(now.processes.first?.running == true)
        let clean = try Command.run([try Build.reader(), "clean", "--dry-run"])
        #expect(!clean.outputText.contains(entry.path))
        kill(pid, SIGKILL)
        usleep(200_000)
        let dead = try Command.run([try Build.reader(), "clean", "--dry-run"])
        #expect(dead.outputText.contains("would remove " + entry.path))
        #expect(try #require(try Self.list().last { $0.pid == pid }).isAlive == false)
    }

    @Test func leavesTheRegionsOfARunningLauncherAlone() throws {
        let script = "true; (exec true); echo $MEMTRACK_SESSION; read x"
        let directory = try TemporaryDirectory()
        let fifo = directory.file("fifo")
        mkfifo(fifo, 0o600)
        let running = try Running(
            ["sh", "-c", "\"$@\" <> \(fifo)", "sh"] + (try LauncherTests.quiet()) + ["sh", "-c", script])
        let deadline = Date(timeIntervalSinceNow: 20)
        while !running.output().contains("\n"), Date() < deadline { usleep(10_000) }
        let session = running.output().trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(session.hasPrefix("/"))
        let clean = try Command.run([try Build.reader(), "clean", "--dry-run"])
        #expect(!clean.outputText.contains(session))
        try "x\n".write(toFile: fifo, atomically: false, encoding: .utf8)
        #expect(try running.wait().isSuccess)
    }

    private struct Entry: Decodable {
        var path: String
        var pid: Int32
        var isAlive: Bool
    }

    private static func list() throws -> [Entry] {
        let run = try Command.run([try Build.reader(), "list", "--json"])
        return try JSONDecoder().decode([Entry].self, from: run.output)
    }
}
