// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Where the objects of a process cannot be read: one line says why, and everything else stands.
@Suite struct TypeFailureTests {
    /// Guards a look at a Python program that was started without -o: three of a hundred objects looked like all.
    @Test(arguments: [[:], ["MEMTRACK_OBJECTS": "1"], ["PYTHONMALLOC": "malloc"]])
    func saysThatSmallObjectsAreMissing(_ settings: [String: String]) throws {
        let python = try #require(Command.python)
        let script =
            "import os; k = [object() for _ in range(500)]; print('ready', flush=True); os.read(0, 1)"
        let program = try Stepped([python, "-c", script], settings)
        _ = try program.line("ready")
        let problems = try program.types().objects.problems
        _ = try program.finish()
        let isSaid = problems.contains { $0.contains("was started without -o") }
        #expect(isSaid == settings.isEmpty, "\(problems)")
    }

    /// Waits to be told to go on, or to become another program; the argument says in which environment.
    private static let target = """
        import os, signal, sys
        class Kept: pass
        kept = [Kept() for _ in range(5000)]
        variables = os.environ if sys.argv[1] == "same" else {}
        signal.signal(signal.SIGUSR1, lambda *_: os.execve("/bin/sleep", ["sleep", "60"], variables))
        print("ready", flush=True)
        os.read(0, 1)
        """

    private static func meddling(_ how: String, onceThereIs file: String = "") throws -> [String: String] {
        [
            "LD_PRELOAD": try Compiled.fixture("meddle.c", ["-shared", "-fPIC"]), "MEDDLE": how,
            "MEDDLE_CALLS": "5", "MEDDLE_FILE": file,
        ]
    }

    @Test(arguments: [
        ("kill", "same", "ended while"), ("exec", "same", "replaced by another program"),
        ("exec", "empty", "replaced by another program"), ("EPERM", "same", "does not let memtrack read"),
        ("ENOSYS", "same", "does not let memtrack read the memory (process_vm_readv is forbidden"),
    ]) func readingSaysWhy(how: String, variables: String, reason: String) throws {
        let python = try #require(Command.python)
        let program = try Stepped([python, "-c", Self.target, variables], ["MEMTRACK_OBJECTS": "1"])
        _ = try program.line("ready")
        let reader = [try Build.reader(), "objects", "--region", program.region]
        let looked = try Command.run(reader, environment: try Self.meddling(how))
        #expect(looked.end == .exited(1) && looked.output.isEmpty)
        #expect(looked.errorText.hasPrefix("memtrack: No types for python3"), "\(looked.errorText)")
        #expect(looked.errorText.contains(reason), "\(looked.errorText)")
        #expect(looked.errorText.split(separator: "\n").count == 1)
        // Nobody has been harmed who was not meddled with.
        if how.hasPrefix("E") { #expect(try program.types().count("Kept") == 5000) }
        kill(program.running.pid, SIGKILL)
        _ = try program.running.wait()
    }

    /// A program that has allocated nothing (yet) is no failure: there is nothing live.
    @Test func nothingIsLive() throws {
        let run = try Command.run([
            try Build.launcher(), "--no-history", "-o", "-i", "0.4", try Compiled.fixture("idle.c", ["-O1"]),
        ])
        #expect(run.isSuccess)
        #expect(run.errorText.contains("nothing is live"), "\(run.errorText)")
        #expect(!run.errorText.contains("No types"), "\(run.errorText)")
    }

    /// Yama says who may, and the line says what Yama says: to one who looks at a stranger, and to a launcher.
    @Test(arguments: [
        ("0", "or not dumpable"), ("1", "ptrace_scope is 1, so that only who has launched"),
        ("2", "ptrace_scope is 2, so that only root may"), ("3", "ptrace_scope is 3, so that nobody may"),
    ]) func yamaSaysNo(scope: String, reason: String) throws {
        let python = try #require(Command.python)
        let place = try TemporaryDirectory()
        let file = place.file("scope")
        try (scope + "\n").write(toFile: file, atomically: true, encoding: .utf8)
        let variables = try Self.meddling("EPERM").merging(["MEDDLE_SCOPE": file]) { $1 }
        let program = try Stepped([python, "-c", Self.target, "same"], ["MEMTRACK_OBJECTS": "1"])
        _ = try program.line("ready")
        let reader = [try Build.reader(), "objects", "--region", program.region]
        let looked = try Command.run(reader, environment: variables)
        #expect(looked.end == .exited(1) && looked.errorText.contains(reason), "\(looked.errorText)")
        #expect(looked.errorText.split(separator: "\n").count == 1)
        let report = try Command.run(
            [try Build.reader(), "report", "--region", program.region, "--objects"], environment: variables)
        #expect(report.isSuccess && report.outputText.contains("Live now"), "\(report.outputText)")
        #expect(report.outputText.replacing(/\s+/, with: " ").contains(reason), "\(report.outputText)")
        #expect(try program.finish().isSuccess)
        if scope == "2" {
            let run = try Self.launch(["1"], variables).wait()
            #expect(run.isSuccess)
            try Self.expectReport(run, reason, hasTypes: false)
        }
    }

    private static let bot = """
        import os, signal, sys, time
        class Kept: pass
        kept = [Kept() for _ in range(5000)]
        signal.signal(signal.SIGUSR1, lambda *_: os.execve("/bin/sleep", ["sleep", "0.5"], os.environ))
        if len(sys.argv) > 2: open(sys.argv[2], "w").close()
        time.sleep(float(sys.argv[1]))
        """

    /// - Parameter arguments: how long it stays, and a file that it makes when it is ready.
    private static func launch(
        wrapper: [String] = [], _ arguments: [String], _ environment: [String: String]
    ) throws -> Running {
        let python = try #require(Command.python)
        let launcher = [try Build.launcher(), "-o", "-i", "0.3", "-l", "30", "--no-history"]
        return try Running(
            wrapper + launcher + [python, "-c", bot] + arguments,
            environment: environment.merging(["COLUMNS": "120"]) { $1 })
    }

    /// The final report has the tables of sites, and where types are missing one line.
    private static func expectReport(_ run: Finished, _ reason: String, hasTypes: Bool) throws {
        let final = try #require(run.errorText.components(separatedBy: "── memtrack ──").last)
        #expect(final.contains("Live at the peak") && final.contains("Kept") == hasTypes, "\(final)")
        let lines = final.split(separator: "\n").filter { $0.contains("No types for") }
        #expect(lines.count == 1 && lines.first?.contains("No types for python3") ?? false, "\(final)")
        #expect(final.replacing(/\s+/, with: " ").contains(reason), "\(final)")
        #expect(final.contains("as of the last checkpoint at +") == hasTypes)
    }

    @Test func aProcessThatDiesWhileItIsRead() throws {
        let run = try Self.launch(["60"], try Self.meddling("kill")).wait()
        #expect(run.end == .killed(SIGKILL))
        try Self.expectReport(run, "ended while objects were being read", hasTypes: false)
    }

    /// What an earlier look has found is not lost.
    @Test func aProcessThatDiesAtALaterLook() throws {
        let place = try TemporaryDirectory()
        let file = place.file("now")
        let launched = try Self.launch(["60"], try Self.meddling("kill", onceThereIs: file))
        let deadline = Date(timeIntervalSinceNow: 50)
        while !launched.errors().contains("Kept  Python"), Date() < deadline { usleep(20_000) }
        try #require(FileManager.default.createFile(atPath: file, contents: nil))
        let run = try launched.wait()
        #expect(run.end == .killed(SIGKILL))
        try Self.expectReport(run, "ended while objects were being read", hasTypes: true)
    }

    @Test func aProcessThatReplacesItselfWhileItIsRead() throws {
        let place = try TemporaryDirectory()
        let file = place.file("ready")
        let run = try Self.launch(["60", file], try Self.meddling("exec", onceThereIs: file)).wait()
        #expect(run.isSuccess)
        #expect(run.errorText.contains("replaced by another program while objects"), "\(run.errorText)")
    }

    @Test func aFilterThatRefusesTheCall() throws {
        let run = try Self.launch(wrapper: [try Compiled.fixture("forbid.c")], ["1.5"], [:]).wait()
        if run.end == .exited(77) { return }
        #expect(run.isSuccess)
        try Self.expectReport(run, "the kernel does not let memtrack read the memory", hasTypes: false)
    }

    /// A process that is not dumpable is closed to everyone but root.
    @Test func aProcessThatIsNotDumpable() throws {
        let python = try #require(Command.python)
        var wrapper: [String] = []
        if getuid() == 0 {
            wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
            let reach = ["test", "-x", try Build.launcher(), "-a", "-x", python]
            guard try Command.run(wrapper + reach).isSuccess else { return }
        }
        let script = """
            import ctypes, time
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
            time.sleep(1.5)
            """
        let launcher = [try Build.launcher(), "-o", "-i", "0.3", "-l", "30", "--no-history"]
        let run = try Command.run(
            wrapper + launcher + ["/usr/bin/python3", "-c", script], environment: ["COLUMNS": "120"])
        #expect(run.isSuccess, "\(run.errorText)")
        try Self.expectReport(run, "the kernel does not let memtrack read the memory", hasTypes: false)
    }

    /// Pages that the program has closed to itself.
    @Test func memoryThatCannotBeRead() throws {
        let python = try #require(Command.python)
        let script = """
            import ctypes, os
            class Kept: pass
            kept = [Kept() for _ in range(5000)]
            closed = bytearray(1 << 20)
            start = ctypes.addressof(ctypes.c_char.from_buffer(closed)) + 4095 & ~4095
            assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start), 1 << 19, 0) == 0
            print("ready", flush=True)
            os.read(0, 1)
            os._exit(0)
            """
        let program = try Stepped([python, "-c", script], ["MEMTRACK_OBJECTS": "1"])
        _ = try program.line("ready")
        let answer = try program.types()
        #expect(answer.count("Kept") == 5000 && answer.total("bytearray") > 1 << 20)
        let text = try program.look([])
        #expect(
            text.isSuccess && text.outputText.contains("512.00 KB could not be read"), "\(text.outputText)")
        #expect(try program.finish().isSuccess)
    }
}
