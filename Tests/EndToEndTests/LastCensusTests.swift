// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// The objects of a program that ends: looked at when it ends of itself, as of the last checkpoint where it is killed.
@Suite struct LastCensusTests {
    private static let bot = """
        import atexit, gc, os, signal, sys, time
        class Early: pass
        class Late: pass
        early = [Early() for _ in range(3000)]
        time.sleep(float(sys.argv[2]))
        late = [Late() for _ in range(2000)]
        if sys.argv[1] == "kill": os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "collected": gc.disable()
        if sys.argv[1] == "cleared": atexit._clear()
        if sys.argv[1] == "hook": atexit.register(lambda: late.append(Late()) or early.clear())
        if sys.argv[1] == "fork" and not os.fork(): os._exit(0)
        if sys.argv[1] == "raise": raise SystemExit(3)
        """

    private func launch(
        _ python: String, _ how: String, seconds: Double = 0, options: [String] = ["-i", "0"]
    ) throws -> Finished {
        try Command.run(
            [try Build.launcher(), "-o", "--no-history", "-l", "100"] + options
                + [python, "-c", Self.bot, how, "\(seconds)"],
            environment: Command.environment.merging(["COLUMNS": "120"]) { $1 })
    }

    /// The rows of the final report: count by type.
    private func counts(_ run: Finished) throws -> (heading: String, counts: [String: Int]) {
        let final = try #require(run.errorText.components(separatedBy: "── memtrack ──").last)
        let table = final.components(separatedBy: "\nObjects ").dropFirst().first ?? ""
        var counts: [String: Int] = [:]
        for line in table.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 3, words.last == "Python",
                let count = Int(words[0].replacing(",", with: ""))
            else { continue }
            counts[words[words.count - 2]] = count
        }
        return (table.split(separator: "\n").first.map(String.init) ?? "", counts)
    }

    @Test(arguments: Pythons.all) func ofAProgramThatEnds(python: String) throws {
        for how in ["plain", "collected", "cleared", "raise", "fork"] {
            // Before 3.10 there is no entry in atexit, and no collection where that is disabled.
            if how == "collected", ["/3.8.", "/3.9.", "/3.10."].contains(where: python.contains) { continue }
            let run = try launch(python, how)
            #expect(run.end == .exited(how == "raise" ? 3 : 0), "\(how) \(run.errorText)")
            let (heading, counts) = try counts(run)
            #expect(heading.contains("at exit"), "\(how) \(heading)")
            #expect(counts["Early"] == 3000 && counts["Late"] == 2000, "\(how) \(counts)")
        }
        // What the program does in its own handlers comes before.
        let counted = try counts(try launch(python, "hook")).counts
        #expect(counted["Early"] == nil && counted["Late"] == 2001)
    }

    @Test func ofAProgramThatIsKilled() throws {
        let python = try #require(Command.python)
        let run = try launch(python, "kill", seconds: 0.7, options: ["-i", "0.4"])
        #expect(run.end == .killed(SIGKILL))
        let (heading, counts) = try counts(run)
        #expect(heading.contains("as of the last checkpoint at +"), "\(heading)")
        #expect(counts["Early"] == 3000 && counts["Late"] == nil)
    }

    /// Nobody there to look: no wait. Somebody there who does not: a second.
    @Test func theWaitIsBounded() throws {
        let python = try #require(Command.python)
        let session = try Session()
        let variables = try session.environment(["MEMTRACK_OBJECTS": "1"])
        let command = [python, "-I", "-S", "-c", "print('done')"]
        func seconds() throws -> Double {
            let start = Date.now
            let run = try Command.run(command, environment: variables)
            #expect(run.isSuccess && run.outputText == "done\n" && run.errorText.isEmpty)
            return Date.now.timeIntervalSince(start)
        }
        let alone = try seconds()
        let fifo = session.directory.file("census")
        #expect(mkfifo(fifo, 0o600) == 0)
        let nobody = try seconds()
        let descriptor = open(fifo, O_RDWR | O_NONBLOCK)
        defer { close(descriptor) }
        let deaf = try seconds()
        #expect(alone < 0.9 && nobody < 0.9, "\(alone) \(nobody)")
        #expect((1..<4).contains(deaf), "\(deaf)")
        var record: UInt64 = 0
        #expect(read(descriptor, &record, 8) == 8)
        let created = try session.regions().map(\.identity.createdMonotonicNanoseconds)
        #expect(created.contains(record))
    }

    /// Without -o nobody waits, nor is anything there to see.
    @Test func onlyWithObjects() throws {
        let python = try #require(Command.python)
        let script = "import os; print(os.listdir(os.environ['MEMTRACK_SESSION']))"
        func files(_ options: [String]) throws -> Bool {
            let run = try Command.run(
                [try Build.launcher(), "-q", "--no-history"] + options + [python, "-c", script])
            #expect(run.isSuccess)
            return run.outputText.contains("'census'")
        }
        #expect(try !files([]))
        #expect(try files(["-o"]))
    }

    /// The report says how the objects of an interpreter were counted, also of one whose version is not known.
    @Test func theReportNamesTheWay() throws {
        func note(_ python: String, _ options: [String] = []) throws -> (Finished, String) {
            let run = try Command.run(
                [try Build.launcher(), "-o", "--no-history"] + options
                    + [python, "-I", "-E", "-c", "print([str(i) for i in range(20000)][-1])"],
                environment: Command.environment.merging(["COLUMNS": "200"]) { $1 })
            #expect(run.isSuccess && run.outputText == "19999\n", "\(run.errorText)")
            let line = run.errorText.split(separator: "\n").first { $0.contains("CPython 3.") }
            return (run, line.map(String.init) ?? "")
        }
        let python = try #require(Command.python)
        #expect(try note(python).1.contains("every object is counted"))
        let old = NSHomeDirectory() + "/.pyenv/versions/3.7.16/bin/python3"
        guard FileManager.default.isExecutableFile(atPath: old) else { return }
        let (run, line) = try note(old)
        #expect(line.contains("CPython 3.7: untested here") && line.contains("PYTHONMALLOC=malloc"))
        // Its small objects are malloc's blocks: twenty thousand strings and more.
        let totals = try #require(
            run.errorText.split(separator: "\n").first { $0.contains("  allocations  ") })
        let count = totals.split(separator: " ").dropFirst().first?.replacing(",", with: "")
        #expect(try #require(count.flatMap { Int($0) }) > 30_000, "\(totals)")
    }
}
