// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// `memtrack attach`: of a process that runs already, what the launcher shows of one that it has started.
@Suite struct AttachTests {
    private static func program(in session: Session) throws -> Stepped {
        let program = try Stepped([try Compiled.fixture("attached.c")], in: session)
        _ = try program.line("ready")
        return program
    }

    private static func watch(_ pid: Int32, _ options: [String]) throws -> Running {
        try Running([try Build.reader(), "attach", "--pid", "\(pid)"] + options)
    }

    private static func wait(for text: String, from running: Running) throws {
        let deadline = Date(timeIntervalSinceNow: 60)
        while !running.output().contains(text) {
            guard Date() < deadline else {
                throw HarnessError("no '\(text)' in: \(running.output()) \(running.errors())")
            }
            usleep(20_000)
        }
    }

    @Test func followsAProcessToItsEnd() throws {
        let session = try Session(listedFor: getpid())
        let place = try TemporaryDirectory()
        let (json, profile) = (place.file("end.json"), place.file("saved.pb.gz"))
        let program = try Self.program(in: session)
        // In the same directory, and none of its business.
        let other = try Self.program(in: session)
        let watch = try Self.watch(
            program.running.pid,
            ["-i", "0.2", "--json", json, "--output", profile, "--history-dir", place.file("history")])
        try Self.wait(for: "Checkpoint 1 ", from: watch)
        program.go()
        _ = try program.line("more")
        try Self.wait(for: "second_site (attached.c:", from: watch)
        let ended = try program.finish()
        #expect(ended.end == .exited(3))
        let run = try watch.wait()
        #expect(run.end == .exited(0))
        #expect(run.errorText == "")
        #expect(run.outputText.contains("── ended after "))

        let report = try Report(try Data(contentsOf: URL(fileURLWithPath: json)))
        #expect(report.exitStatus == nil)
        #expect(report.site("first_site")?.totals.allocations == 1000)
        // The newline of the end was a line, too.
        #expect(report.site("second_site")?.totals.allocations == 1000)
        #expect(report.site("child_site")?.totals.liveBytes == 6000)
        #expect(Set(report.processes.map(\.pid)).isDisjoint(with: [other.running.pid]))
        let region = try session.region(pid: program.running.pid)
        let parent = try #require(report.processes.first { $0.pid == program.running.pid })
        #expect(parent.totals?.allocations == Int(region.totals.allocations))
        // The region of others' keeping is there still.
        #expect(session.files().contains { $0.pid == program.running.pid })

        let history = try FileManager.default.contentsOfDirectory(atPath: place.file("history"))
        #expect(history.count { $0.hasSuffix("_pid\(program.running.pid).txt") } == 1)
        let saved = try Command.run([try Build.reader(), "report", profile, "--json"])
        #expect(try Report(saved.output).totals == report.totals)
        _ = try other.finish()
    }

    @Test func letsGoAtControlC() throws {
        let session = try Session(listedFor: getpid())
        let program = try Self.program(in: session)
        let watch = try Self.watch(program.running.pid, ["--no-history"])
        try Self.wait(for: "Checkpoint 1 ", from: watch)
        kill(watch.pid, SIGINT)
        let run = try watch.wait()
        #expect(run.end == .exited(0))
        #expect(run.outputText.contains("── running for "))
        #expect(run.outputText.contains("Live now"))
        program.go()
        _ = try program.line("more")
        #expect(try program.finish().end == .exited(3))
        #expect(try session.region(pid: program.running.pid).totals.allocations >= 2000)
    }

    /// A process in a time namespace, a container's or one that was restored: its clocks are ahead of ours, or behind. Ahead,
    /// the time that it has run was below zero, a trap; behind, it was taken for a process that had ended.
    @Test(arguments: [1_000_000, -30])
    func followsAProcessWithOtherClocks(_ offset: Int) throws {
        let moved = ["unshare", "--time", "--monotonic", "\(offset)", "--boottime", "\(offset)"]
        guard try Command.run(moved + ["true"]).isSuccess else { return }  // not allowed here
        let session = try Session(listedFor: getpid())
        // Not in unshare itself, whose image is of another clock.
        let start = moved + ["env", "LD_PRELOAD=" + (try Build.library())]
        let program = try Stepped(
            start + [try Compiled.fixture("attached.c")], ["LD_PRELOAD": ""], in: session)
        _ = try program.line("ready")
        let json = try Command.run(
            [try Build.reader(), "report", "--pid", "\(program.running.pid)", "--json"])
        let now = try JSONSerialization.jsonObject(with: json.output) as? [String: Any]
        let seconds = try #require(now?["durationSeconds"] as? Double)
        #expect(seconds > 0 && seconds < 300)
        let watch = try Self.watch(program.running.pid, ["-i", "0.2", "--no-history"])
        try Self.wait(for: "Checkpoint 2 ", from: watch)
        #expect(try program.finish().end == .exited(3))
        let run = try watch.wait()
        #expect(run.end == .exited(0))
        #expect(run.errorText == "")
        #expect(run.outputText.contains("first_site (attached.c:"))
    }

    /// Two processes after each other under one number: children of the first are none of the second's. In a PID namespace,
    /// where numbers can be had; the fixture's own child stays, and has an allocation.
    @Test(.enabled(if: geteuid() == 0 && Command.has("unshare"), "PID namespaces need root"))
    func tellsProcessesOfOneNumberApart() throws {
        let session = try Session(listedFor: getpid())
        let json = session.directory.path + ".json"
        defer { unlink(json) }
        let python = """
            import os, time
            read, write = os.pipe()
            if os.fork():
                os.read(read, 1)  # the child has a region, with our number in it
                os._exit(0)
            kept = bytearray(5000)
            os.write(write, b".")
            time.sleep(60)
            """
        let script = """
            export MEMTRACK_SESSION="$1"
            LD_PRELOAD="$2" /usr/bin/python3 -c "$5" & first=$!
            wait $first
            sleep 0.3
            echo $((first - 1)) > /proc/sys/kernel/ns_last_pid || exit 77
            LD_PRELOAD="$2" sleep 1.5 & second=$!
            [ $first = $second ] || exit 77
            "$3" attach --pid $second -i 0.5 --no-history -q --json "$4"
            """
        let run = try Command.run([
            "unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", session.directory.path,
            Build.library(), Build.reader(), json, python,
        ])
        if run.end == .exited(77) || run.errorText.contains("unshare") { return }
        #expect(run.isSuccess, "\(run.errorText)")
        let report = try Report(try Data(contentsOf: URL(fileURLWithPath: json)))
        #expect(session.files().count >= 3)
        #expect(report.processes.count == 1)
    }

    /// As under nohup(1).
    @Test func staysWhereAHangUpIsIgnored() throws {
        let session = try Session(listedFor: getpid())
        let program = try Self.program(in: session)
        let command = "trap '' HUP; exec \"$0\" attach --pid \(program.running.pid) -i 0.2 --no-history"
        let watch = try Running(["sh", "-c", command, try Build.reader()])
        try Self.wait(for: "Checkpoint 1 ", from: watch)
        kill(watch.pid, SIGHUP)
        try Self.wait(for: "Checkpoint 3 ", from: watch)
        #expect(try program.finish().end == .exited(3))
        #expect(try watch.wait().outputText.contains("── ended after "))
    }

    @Test func showsWhatTheKernelSaysOfOthers() throws {
        let program = try Running(["sleep", "100"])
        let watch = try Self.watch(program.pid, ["-i", "0.2", "--no-history"])
        try Self.wait(for: "Checkpoint 2 ", from: watch)
        kill(program.pid, SIGKILL)
        _ = try program.wait()
        let run = try watch.wait()
        #expect(run.end == .exited(0))
        #expect(run.errorText.contains("process \(program.pid) does not run under memtrack-preload"))
        #expect(run.outputText.contains("  RSS "))
        #expect(run.outputText.contains("── ended after "))
    }

    /// What another user's process has counted is in that user's directory; root, too, was told that there is nothing.
    @Test(.enabled(if: geteuid() == 0 && Command.has("setpriv")))
    func saysWhoseTheProcessIs() throws {
        let program = try Running([
            "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sleep", "100",
        ])
        defer {
            kill(program.pid, SIGKILL)
            _ = try? program.wait()
        }
        let deadline = Date(timeIntervalSinceNow: 20)
        let status = "/proc/\(program.pid)/status"
        while try !String(contentsOfFile: status, encoding: .utf8).contains("Uid:\t65534\t65534") {
            try #require(Date() < deadline)
            usleep(10_000)
        }
        let pid = "\(program.pid)"
        let expected = "process \(pid) is user 65534's"
        let report = try Command.run([try Build.reader(), "report", "--pid", pid])
        #expect(report.errorText.contains(expected))
        let watch = try Self.watch(program.pid, ["-i", "0.2", "--no-history"])
        try Self.wait(for: "Checkpoint 1 ", from: watch)
        kill(watch.pid, SIGTERM)
        #expect(try watch.wait().errorText.contains(expected))
    }

    @Test func refusesWhatIsNoProcess() throws {
        let none = try Command.run([try Build.reader(), "attach", "--pid", "999999999"])
        #expect(none.end == .exited(1))
        #expect(
            none.errorText
                == "memtrack: no process has the PID 999999999; memtrack list shows what there is\n")
        let usage = try Command.run([try Build.reader(), "attach", "--pid", "-1"])
        #expect(usage.end == .exited(64))
    }

    /// top -H and many logs give numbers of threads.
    @Test func saysWhoseAThreadIs() throws {
        let own = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
        let thread = try #require(own.first { $0 != "\(getpid())" })
        for command in ["attach", "report", "objects"] {
            let refused = try Command.run([try Build.reader(), command, "--pid", thread])
            #expect(refused.end == .exited(1))
            let expected = "memtrack: \(thread) is a thread of process \(getpid()); give --pid \(getpid())\n"
            #expect(refused.errorText == expected, "\(command)")
        }
    }
}
