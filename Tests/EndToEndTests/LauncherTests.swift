// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// To PROGRAM, all is as without a launcher.
@Suite struct LauncherTests {
    /// Prints no report and writes no file.
    static func quiet(_ options: [String] = []) throws -> [String] {
        [try Build.launcher(), "-q", "--no-history"] + options
    }

    @Test func passesStandardStreamsThrough() throws {
        let bytes = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 8)) })
        let program = ["sh", "-c", "cat; echo error >&2; exit 7"]
        let run = try Command.run(try Self.quiet() + program, input: bytes)
        #expect(run.end == .exited(7))
        #expect(run.output == bytes)
        #expect(run.errorText == "error\n")
    }

    @Test(arguments: [0, 1, 2, 63, 64, 77, 125, 126, 127, 128, 255])
    func passesTheExitStatusOn(status: Int32) throws {
        let run = try Command.run(try Self.quiet() + ["sh", "-c", "exit \(status)"])
        #expect(run.end == .exited(status))
        #expect(run.errorText == "")
    }

    @Test(arguments: [SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGKILL, SIGUSR1, SIGSEGV, SIGPIPE, SIGTERM, SIGXFSZ])
    func diesOfTheSignalThatPROGRAMDiedOf(signal: Int32) throws {
        let program = ["sh", "-c", "ulimit -c 0; kill -\(signal) $$"]
        let run = try Command.run(try Self.quiet() + program)
        #expect(run.end == .killed(signal))
        let shell = try Command.run(
            ["sh", "-c", "\"$@\" 2>/dev/null; echo $?", "sh"] + (try Self.quiet()) + program)
        #expect(shell.outputText == "\(128 + signal)\n")
    }

    @Test func takesOptionsBehindPROGRAMForItsOwn() throws {
        let words = ["-q", "--help", "-i", "5", "--version", "--", "--json", "file", ""]
        let run = try Command.run(try Self.quiet() + ["sh", "-c", "printf '[%s]' \"$@\"", "sh"] + words)
        #expect(run.outputText == words.map { "[\($0)]" }.joined())
        let dashes = try Command.run(try Self.quiet() + ["--", "printf", "%s|", "--", "-i"])
        #expect(dashes.outputText == "--|-i|")
    }

    @Test func runsAProgramWhoseNameIsAnOption() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("--help")
        try "#!/bin/sh\necho it ran\n".write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, 0o755)
        let run = try Command.run(
            try Self.quiet() + ["--", "--help"],
            environment: ["PATH": directory.path + ":" + (Command.environment["PATH"] ?? "")])
        #expect(run.outputText == "it ran\n")
    }

    @Test func handsArgumentsOverAsBytes() throws {
        let script = "exec \"$@\" printf %s \"$(printf 'a\\377\\376b')\""
        let run = try Command.run(["sh", "-c", script, "sh"] + (try Self.quiet()))
        #expect(run.output == Data([0x61, 0xff, 0xfe, 0x62]))
    }

    @Test func addsNothingToTheEnvironmentButItsOwnVariables() throws {
        func variables(_ command: [String]) throws -> Set<String> {
            Set(try Command.run(command).outputText.split(separator: "\n").map(String.init))
        }
        let bare = try variables(["env"])
        let added = try variables(try Self.quiet() + ["env"]).subtracting(bare)
        #expect(added.contains { $0.hasPrefix("LD_PRELOAD=") })
        #expect(added.allSatisfy { $0.hasPrefix("LD_PRELOAD=") || $0.hasPrefix("MEMTRACK_") })
        #expect(bare.subtracting(try variables(try Self.quiet() + ["env"])).isEmpty)
        #expect(try variables(try Self.quiet(["--no-objects"]) + ["env"]) == bare)
    }

    @Test func keepsClosedDescriptorsClosedAndAddsNone() throws {
        let look = "for d in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$d && echo $d; done; :"
        let report = "exec 3>&1; exec \"$@\" sh -c '\(look)' "
        for redirection in ["", "2>&-", "0<&-", "0<&- 2>&-"] {
            let bare = try Command.run(["sh", "-c", report + redirection, "sh", "env"])
            let ours = try Command.run(["sh", "-c", report + redirection, "sh"] + (try Self.quiet()))
            #expect(ours.outputText == bare.outputText, "\(redirection)")
            #expect(!bare.outputText.isEmpty)
        }
    }

    @Test func writesNoTalkIntoAFileWhereStandardErrorIsClosed() throws {
        let directory = try TemporaryDirectory()
        let json = directory.file("out.json")
        let script = "exec \"$@\" -i 0 --no-history --json \(json) true 2>&-"
        let run = try Command.run(["sh", "-c", script, "sh", try Build.launcher()])
        #expect(run.end == .exited(0))
        _ = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: json)))
    }

    @Test func showsNoFileOfOursToAProgramThatListsItsDirectory() throws {
        let directory = try TemporaryDirectory()
        let command = [try Build.launcher(), "--report", "report", "--json", "json", "ls", "-a"]
        let run = try Command.run(command, directory: directory.path)
        #expect(run.outputText == ".\n..\n")
        #expect(run.errorText == "")
        #expect(directory.entries() == ["data", "json", "report"])
    }

    @Test func leavesNoSessionBehind() throws {
        let print = "echo $MEMTRACK_SESSION; test -d $MEMTRACK_SESSION && echo there"
        let run = try Command.run(try Self.quiet() + ["sh", "-c", print])
        let lines = run.outputText.split(separator: "\n").map(String.init)
        try #require(lines.count == 2 && lines[1] == "there")
        #expect(!FileManager.default.fileExists(atPath: lines[0]))
    }

    @Test func runsUnderItself() throws {
        let run = try Command.run(try Self.quiet() + Self.quiet() + ["sh", "-c", "echo inner; exit 3"])
        #expect(run.outputText == "inner\n")
        #expect(run.end == .exited(3))
    }

    @Test func passesOnASignalThatWasSentToIt() throws {
        let script = "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
        let running = try Running(try Self.quiet() + ["sh", "-c", script])
        let deadline = Date(timeIntervalSinceNow: 20)
        while !running.output().contains("ready"), Date() < deadline { usleep(10_000) }
        kill(running.pid, SIGTERM)
        let run = try running.wait(timeout: 20)
        #expect(run.outputText == "ready\nterm\n")
        #expect(run.end == .exited(9))
    }

    /// A signal that ends PROGRAM ends us the same way, with the report written and the session gone.
    @Test(arguments: [SIGTERM, SIGHUP, SIGINT])
    func reportsAfterASignalThatEndsPROGRAM(signal: Int32) throws {
        let directory = try TemporaryDirectory()
        let json = directory.file("out.json")
        let running = try Running([
            try Build.launcher(), "--no-history", "-i", "0", "--json", json, "sh", "-c",
            "echo $MEMTRACK_SESSION; exec sleep 30",
        ])
        let deadline = Date(timeIntervalSinceNow: 20)
        while !running.output().contains("\n"), Date() < deadline { usleep(10_000) }
        usleep(100_000)
        kill(running.pid, signal)
        let run = try running.wait(timeout: 20)
        #expect(run.end == .killed(signal))
        #expect(run.errorText.contains("killed by SIG"))
        let session = run.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(session.hasPrefix("/") && !FileManager.default.fileExists(atPath: session))
        let report = try Report(Data(contentsOf: URL(fileURLWithPath: json)))
        #expect(try #require(report.totals).allocations > 0)
    }

    /// Where nobody reads what we say any more, PROGRAM goes on and its status is passed on.
    @Test func outlivesTheReaderOfItsTalk() throws {
        let directory = try TemporaryDirectory()
        let status = directory.file("status")
        let script = "{ \"$@\" 2>&1 >&3; echo $? >\(status); } 3>\(directory.file("out")) | true"
        let command = [try Build.launcher(), "--no-history", "-i", "0.1"]
        _ = try Command.run(
            ["sh", "-c", script, "sh"] + command + ["sh", "-c", "sleep 0.5; echo out; exit 4"])
        #expect(try String(contentsOfFile: status, encoding: .utf8) == "4\n")
        #expect(try String(contentsOfFile: directory.file("out"), encoding: .utf8) == "out\n")
    }

    /// Another session in the environment is another profiler's: ours is the one that counts.
    @Test func takesTheProgramOutOfAnotherSession() throws {
        let other = try Session()
        let print = "echo $MEMTRACK_SESSION; sh -c 'exit 3'"
        let run = try Command.run(
            try Self.quiet() + ["sh", "-c", print], environment: other.environment())
        #expect(run.end == .exited(3))
        #expect(run.errorText == "")
        #expect(run.outputText.hasPrefix("/") && !run.outputText.contains(other.directory.path))
    }

    @Test(arguments: [
        ["--unwinder", "libunwind"], ["--stack-depth", "1"], ["--verify-stacks"], ["--no-children"],
        ["--sort", "live"], ["--sort", "count"], ["--sort", "allocated"], ["--sort", "growth"],
        ["--sort", "peak"], ["--filter", "main|operator"], ["--alloc-fn", "^x"], ["-l", "3"], ["-i", "0.2"],
        ["-i", "0"], ["--no-objects"], ["-o"],
    ])
    func acceptsEachOption(options: [String]) throws {
        let command = [try Build.launcher(), "--no-history"] + options + ["sh", "-c", "echo out; exit 4"]
        let run = try Command.run(command)
        #expect(run.outputText == "out\n")
        #expect(run.end == .exited(4))
        #expect(run.errorText.contains("exit status 4"))
    }
}

/// The launcher on a terminal: job control, keys, width and colour.
@Suite struct LauncherTerminalTests {
    @Test func leavesTheTerminalToPROGRAM() throws {
        let script = "test -t 0 && test -t 1 && test -t 2 && stty size && cat /proc/$$/stat | cut -d' ' -f7,8"
        let bare = try Terminal(["sh", "-c", script])
        #expect(try bare.wait() == .exited(0))
        let ours = try Terminal(try LauncherTests.quiet() + ["sh", "-c", script])
        #expect(try ours.wait() == .exited(0))
        // Terminal number and foreground group; the group is the leader's PID, which differs.
        func seen(_ terminal: Terminal) -> [String] {
            terminal.screen.split(separator: "\r\n").map {
                $0.replacingOccurrences(of: "\(terminal.pid)", with: "PID")
            }
        }
        #expect(seen(bare).first == "50 100")
        #expect(seen(ours).first == "50 100")
        #expect(seen(ours).last?.hasSuffix(" PID") == true)
    }

    @Test func givesControlCToPROGRAMAndReportsAllTheSame() throws {
        let script = "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.05; done"
        let handled = try Terminal([try Build.launcher(), "--no-history", "sh", "-c", script])
        try handled.expect("ready")
        handled.send("\u{3}")
        #expect(try handled.wait() == .exited(5))
        #expect(handled.screen.contains("interrupted"))
        #expect(handled.screen.contains("exit status 5"))

        let killed = try Terminal([
            try Build.launcher(), "--no-history", "sh", "-c", "echo ready; exec sleep 20",
        ])
        try killed.expect("ready")
        usleep(100_000)
        killed.send("\u{3}")
        #expect(try killed.wait() == .killed(SIGINT))
        #expect(killed.screen.contains("killed by SIGINT"))
        // Not behind the ^C that the terminal shows: the rule is as wide as the terminal.
        #expect(killed.screen.split(whereSeparator: \.isNewline).contains { $0 == "^C" })
    }

    @Test(.enabled(if: Command.has("bash")))
    func stopsAndGoesOnWithPROGRAM() throws {
        let shell = try Terminal(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"], environment: ["PS1": "$ "])
        let launcher = try LauncherTests.quiet().joined(separator: " ")
        shell.send("\(launcher) sh -c 'echo rea\"\"dy; read x; echo \"got:$x\"; exit 6'\n")
        try shell.expect("ready\r\n")
        usleep(100_000)
        shell.send("\u{1a}")
        try shell.expect("Stopped")
        shell.send("jobs -l; echo stat\"\"us=$?\n")
        try shell.expect("status=0")
        shell.send("fg\n")
        try shell.expect("exit 6'")
        shell.send("hello\n")
        try shell.expect("got:hello")
        shell.send("echo sta\"\"tus=$?\n")
        try shell.expect("status=6")
        shell.send("exit\n")
        #expect(try shell.wait() == .exited(0))
    }

    @Test func fitsTheTerminal() throws {
        for columns in [40, 80, 132] as [UInt16] {
            let terminal = try Terminal(
                [try Build.launcher(), "--no-history", "-i", "0.3", "sh", "-c", "sleep 0.5; exit 0"],
                columns: columns)
            #expect(try terminal.wait() == .exited(0))
            let lines = terminal.screen.split(separator: "\r\n").map { Self.withoutColour(String($0)) }
            #expect(lines.contains { $0.contains("Checkpoint 1") })
            #expect(
                lines.allSatisfy { $0.count <= Int(columns) }, "\(lines.filter { $0.count > Int(columns) })")
        }
    }

    @Test func coloursATerminalAlone() throws {
        let command = [try Build.launcher(), "--no-history", "-i", "0", "true"]
        let escape = "\u{1b}["
        let coloured = try Terminal(command)
        _ = try coloured.wait()
        #expect(coloured.screen.contains(escape))
        for variables in [["NO_COLOR": "1"], ["TERM": "dumb"]] {
            let plain = try Terminal(command, environment: variables)
            _ = try plain.wait()
            #expect(plain.screen.contains("exit status 0"))
            #expect(!plain.screen.contains(escape))
        }
        #expect(try !Command.run(command).errorText.contains(escape))
    }

    private static func withoutColour(_ line: String) -> String {
        line.replacingOccurrences(of: "\u{1b}\\[[0-9;]*[mK]", with: "", options: .regularExpression)
    }
}
