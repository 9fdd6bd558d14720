// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Programs in namespaces of their own, where numbers of processes and clocks are others than the reader's.
@Suite struct TrapNamespaceTests {
    /// Grows at two moments that lie between looks of the launcher, and lives on after each.
    private static func growing(_ program: String) -> String {
        "(sleep 0.8; echo; sleep 1.2; echo; sleep 0.7) | exec \(program)"
    }

    private func checkTheWhole(_ report: Report, _ program: String) throws {
        let rows = report.processes.filter { $0.executable == program }
        #expect(rows.count == 3)  // and two children
        let main = try #require(rows.first { $0.origin == "exec" })
        #expect(main.totals.map { $0.allocations >= 2000 } == true, "\(String(describing: main.totals))")
        #expect(rows.allSatisfy { !$0.running && !$0.replaced }, "\(rows)")
        #expect(rows.filter { $0.origin == "fork" }.map(\.parentPid) == [main.pid, main.pid], "\(rows)")
        // Its own figures, not those of whoever has such a number here.
        #expect(main.figures.map { $0.rssBytes > 100_000 && $0.rssBytes < 8 << 20 } == true)
    }

    /// Guards that a number of a sandbox is not taken for one of ours: its program was taken for ended (or for init) at the
    /// first look, and what it did from then on was lost. Numbers of its own: 1, and one that nobody has here.
    @Test(.enabled(if: Allowed.pidNamespaces, "no PID namespaces here"), arguments: [1, 4_190_000])
    func launcherAndPIDNamespace(_ number: Int) throws {
        let program = try Compiled.fixture("attached.c", ["-O1"])
        let next = number > 1 ? "echo \(number) > /proc/sys/kernel/ns_last_pid 2>/dev/null; " : ""
        let (report, run) = try Report.of(
            [
                "unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c",
                next + Self.growing(program) + "; exit $?",
            ], options: ["-q", "-i", "0.5"])
        #expect(run.end == .exited(3), "\(run.errorText)")
        try checkTheWhole(report, program)
        #expect(!run.errorText.contains("still"))
    }

    /// Guards that of two images of one process the later one is known where an exec has moved the clock back: the region of the
    /// program that ran was thrown away.
    @Test(.enabled(if: Allowed.timeNamespaces, "no time namespaces here"))
    func execIntoATimeNamespace() throws {
        let program = try Compiled.fixture("attached.c", ["-O1"])
        let moved = "unshare -T --boottime -500 --monotonic -500 \(program)"
        let (report, run) = try Report.of(
            ["sh", "-c", Self.growing(moved) + "; exit $?"], options: ["-q", "-i", "0.5"])
        #expect(run.end == .exited(3), "\(run.errorText)")
        try checkTheWhole(report, program)
    }

    /// Guards that regions of namespaces that are gone do not stay for ever, and that `memtrack` finds a process of a sandbox
    /// by the number that it has here.
    @Test(.enabled(if: Allowed.pidNamespaces, "no PID namespaces here"))
    func listAndCleanKnowSandboxes() throws {
        let script = """
            export LD_PRELOAD=\(try Build.library())
            unshare -p --fork true
            unshare -p --fork sleep 30 &
            sleep 0.5; unset LD_PRELOAD
            "$R" clean > /dev/null; ls /dev/shm/memtrack-0 | grep -c region-; "$R" list
            p=$("$R" list | sed -n '/unshare/d; s/^ *\\([0-9]*\\) .* sleep 30$/\\1/p')
            "$R" report --pid $p | head -2
            kill $p; wait; "$R" clean > /dev/null; ls /dev/shm/memtrack-0 | grep -c region-
            """
        let run = try BadInputNamespaceTests.inNamespace(script)
        let lines = run.outputText.split(separator: "\n").map(String.init)
        #expect(lines.first == "2" && lines.last == "0", "\(run.outputText) \(run.errorText)")
        #expect(lines.contains { $0.contains("running") && $0.hasSuffix("sleep 30") }, "\(run.outputText)")
        #expect(lines.contains { $0.contains("sleep (") && $0.contains("running for") }, "\(run.outputText)")
    }
}
