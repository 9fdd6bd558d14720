// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackLaunch

/// Runs a program bare and under the launcher.
private func compare(
    _ arguments: [String], blocked: [Int32] = [], sourceLocation: SourceLocation = #_sourceLocation
) throws -> Ending {
    let scratch = Scratch()
    let bare = try Running(arguments, in: scratch, blocked: blocked)
    let bareEnd = bare.end()
    let (output, errors) = (bare.output, bare.errors)
    let watched = try Running([Running.probe] + arguments, in: scratch, blocked: blocked)
    let end = watched.end()
    #expect(end == bareEnd, sourceLocation: sourceLocation)
    #expect(watched.output == output, sourceLocation: sourceLocation)
    #expect(watched.errors == errors, sourceLocation: sourceLocation)
    return end
}

@Suite struct TransparencyTests {
    @Test(arguments: [0, 1, 2, 42, 125, 126, 127, 128, 255] as [Int32])
    func exitStatus(status: Int32) throws {
        #expect(try compare(["sh", "-c", "echo out; echo err >&2; exit \(status)"]) == .exit(status))
    }

    @Test(arguments: [
        SIGKILL, SIGSEGV, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGABRT, SIGUSR1, SIGALRM, 40,
    ])
    func deathBySignal(signal: Int32) throws {
        let code = "import os; os.kill(os.getpid(), \(signal))"
        let setUp = "import signal; signal.signal(\(signal), 0) if \(signal) not in (9,) else 0; "
        #expect(try compare(["python3", "-c", setUp + code]) == .signal(signal))
    }

    @Test func signalStateIsThatOfTheStart() throws {
        let show = ["grep", "-E", "Sig(Blk|Ign|Cgt)", "/proc/self/status"]
        #expect(try compare(show) == .exit(0))
        #expect(try compare(show, blocked: [SIGTERM, SIGCHLD, SIGTSTP, SIGINT, 40]) == .exit(0))
        let ignoring = ["sh", "-c", "trap '' HUP INT QUIT PIPE TERM TSTP TTOU USR1; exec \"$@\"", "sh"]
        let bare = try Running(ignoring + show, in: Scratch())
        let watched = try Running(ignoring + [Running.probe] + show, in: Scratch())
        #expect(bare.end() == .exit(0) && watched.end() == .exit(0))
        #expect(watched.output == bare.output)
        // So that the comparison is not one of nothing with nothing.
        #expect(bare.output.contains("285207\nSigCgt"))
    }

    @Test func noDescriptorLeaksAndClosedOnesStayClosed() throws {
        let show = ["sh", "-c", "ls /proc/$$/fd"]
        #expect(try compare(show) == .exit(0))
        let closing = ["sh", "-c", "exec <&-; exec \"$@\"", "sh"]
        let bare = try Running(closing + show, in: Scratch())
        let watched = try Running(closing + [Running.probe] + show, in: Scratch())
        #expect(bare.end() == .exit(0) && watched.end() == .exit(0))
        #expect(watched.output == bare.output)
        #expect(!bare.output.split(separator: "\n").contains("0"))
    }

    @Test func environmentArgumentsGroupAndLimits() throws {
        #expect(try compare(["env"]) == .exit(0))
        #expect(try compare(["printf", "%s|", "a b", "", "*", "ü"]) == .exit(0))
        #expect(try compare(["sh", "-c", "ulimit -a; umask; pwd"]) == .exit(0))
        let ids = "import os; print(os.getpgrp(), os.getsid(0))"
        let watched = try Running([Running.probe, "python3", "-c", ids], in: Scratch())
        #expect(watched.end() == .exit(0))
        #expect(watched.output == "\(getpgrp()) \(getsid(0))\n")
    }

    @Test func bytesThatAreNotUTF8() throws {
        let raw = ["sh", "-c", "V=$(printf 'x\\377') exec \"$@\" \"$(printf 'a\\377b')\"", "sh"]
        let show = ["python3", "-c", "import os,sys; print(sys.argv[1:], os.environb[b'V'])"]
        let bare = try Running(raw + show, in: Scratch())
        let watched = try Running(raw + [Running.probe] + show, in: Scratch())
        #expect(bare.end() == .exit(0) && watched.end() == .exit(0))
        #expect(watched.output == bare.output)
        #expect(bare.output.contains("\\xff"))
    }

    @Test func filesWithoutFormatRunUnderTheShell() throws {
        let scratch = Scratch()
        let text = try scratch.file("text", "echo \"$0\" \"$@\"; exit 9\n")
        // env, because posix_spawnp does not turn to the shell.
        #expect(try compare(["env", text, "a b", "c"]) == .exit(9))
        let watched = try Running([Running.probe, text, "a b", "c"], in: scratch)
        #expect(watched.end() == .exit(9))
        #expect(watched.output == "\(text) a b c\n")
        let empty = try Running([Running.probe, scratch.file("empty")], in: scratch)
        #expect(empty.end() == .exit(0))
    }

    @Test func launcherIsAnnouncedWhenAsked() throws {
        let watched = try Running(
            [Running.probe, "sh", "-c", "echo $MEMTRACK_LAUNCHER_PID $PPID"], in: Scratch(),
            environment: ["LAUNCH_PROBE_ANNOUNCE": "1"])
        #expect(watched.end() == .exit(0))
        #expect(watched.output == "\(watched.pid) \(watched.pid)\n")
    }

    @Test func programsThatCannotStart() throws {
        let scratch = Scratch()
        let cases: [(String, Int32)] = [
            ("no-such-program-anywhere", 127), (scratch.path + "/none", 127), (scratch.path, 126), ("", 127),
            (try scratch.file("plain", "x", mode: 0o644), 126),
            (try scratch.file("script", "#!/no/such/interpreter\n"), 127),
        ]
        for (program, code) in cases {
            let watched = try Running([Running.probe, program], in: Scratch())
            #expect(watched.end() == .exit(code))
            #expect(watched.errors.split(separator: "\n").count == 1)
        }
    }
}

@Suite struct EventTests {
    private func start(_ script: String, in scratch: Scratch, interval: Int? = nil) throws -> Running {
        var environment = ["LAUNCH_PROBE_LOG": scratch.path + "/log"]
        if let interval { environment["LAUNCH_PROBE_INTERVAL"] = String(interval) }
        return try Running([Running.probe, "sh", "-c", script], in: scratch, environment: environment)
    }

    @Test func timeoutsComeAtTheInterval() throws {
        let scratch = Scratch()
        let watched = try start("sleep 1.1", in: scratch, interval: 200)
        var usage = rusage()
        var status: Int32 = 0
        while wait4(watched.pid, &status, 0, &usage) < 0 && errno == EINTR {}
        #expect(Ending(raw: status) == .exit(0))
        let timeouts = scratch.text("log").split(separator: "\n").filter { $0 == "timeout" }.count
        #expect((2...5).contains(timeouts))
        // Busy waiting would take a second.
        #expect(usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < 500_000)
    }

    @Test func pidIsKnownAtOnceAndUsageAtTheEnd() throws {
        let scratch = Scratch()
        let watched = try start("echo $$", in: scratch)
        #expect(watched.end() == .exit(0))
        let lines = scratch.text("log").split(separator: "\n")
        #expect(lines.first.map { $0 + "\n" } == "pid \(watched.output)")
        let last = try #require(lines.last)
        #expect(try #require(UInt64(last.dropFirst("maxRSS ".count))) > 100_000)
    }

    @Test(arguments: [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT])
    func signalsSentToTheLauncherReachTheTarget(signal: Int32) throws {
        let scratch = Scratch()
        let watched = try start(
            "trap 'echo got; exit 5' \(signal); echo ready; for i in $(seq 1000); do sleep 0.02; done",
            in: scratch)
        #expect(scratch.wait(for: "ready", in: "out"))
        kill(watched.pid, signal)
        #expect(watched.end() == .exit(5))
        #expect(watched.output == "ready\ngot\n")
        #expect(scratch.text("log").contains("interrupted(signal: \(signal))"))
    }

    @Test func stopIsMirroredAndContinuePassedOn() throws {
        let scratch = Scratch()
        let watched = try start("echo $$ ready; sleep 0.3; echo on; exit 3", in: scratch)
        #expect(scratch.wait(for: "ready", in: "out"))
        let target = try #require(Int32(scratch.text("out").prefix { $0 != " " }))
        kill(target, SIGSTOP)
        let status = watched.change(WUNTRACED)
        #expect(status & 0xff == 0x7f && status >> 8 & 0xff == SIGSTOP)
        kill(watched.pid, SIGCONT)
        #expect(watched.end() == .exit(3))
        let log = scratch.text("log")
        #expect(log.contains("stopped(signal: \(SIGSTOP))\ncontinued\n"))
    }

    /// `fg`, and Ctrl+Z at once: the launcher wakes to a target that has stopped again, and is not to continue it.
    @Test func stopRightAfterTheContinueIsKept() throws {
        let scratch = Scratch()
        let watched = try start("trap 'echo on' CONT; echo $$ ready; sleep 0.3; exit 3", in: scratch)
        #expect(scratch.wait(for: "ready", in: "out"))
        let target = try #require(Int32(scratch.text("out").prefix { $0 != " " }))
        kill(target, SIGSTOP)
        #expect(watched.change(WUNTRACED) & 0xff == 0x7f)
        kill(target, SIGCONT)
        kill(target, SIGSTOP)
        usleep(100_000)
        kill(watched.pid, SIGCONT)
        let status = watched.change(WUNTRACED)
        #expect(status & 0xff == 0x7f && status >> 8 & 0xff == SIGSTOP)
        #expect(try String(contentsOfFile: "/proc/\(target)/stat", encoding: .utf8).contains(") T "))
        kill(watched.pid, SIGCONT)
        #expect(watched.end() == .exit(3))
    }

    @Test func coreIsNotWrittenTwice() throws {
        let scratch = Scratch()
        let watched = try start("kill -ABRT $$", in: scratch)
        let status = watched.change()
        #expect(Ending(raw: status) == .signal(SIGABRT))
        #expect(status & 0x80 == 0)
    }
}
