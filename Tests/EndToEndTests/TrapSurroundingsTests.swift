// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// What is around the program is taken away or in the way: it runs as without us, and the report says what was missing.
@Suite struct TrapSurroundingsTests {
    /// A shell as root of a mount namespace of its own.
    private func inNamespace(_ script: String, _ arguments: [String]) throws -> Finished {
        try Command.run(["unshare", "-m", "sh", "-c", script, "sh"] + arguments)
    }

    /// The fixture where no mount of these tests hides it: compiled programs are in /dev/shm.
    private func endings() throws -> (path: String, remove: () -> Void) {
        let copy = "/var/tmp/memtrack-endings-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.copyItem(atPath: try Compiled.fixture("endings.c", ["-O1"]), toPath: copy)
        return (copy, { unlink(copy) })
    }

    /// Guards the second place for regions, and that a program without any runs on.
    @Test(.enabled(if: Allowed.mounting, "no mounting here"), arguments: ["ro", "absent", "full", "neither"])
    func sharedMemory(_ kind: String) throws {
        let mount =
            switch kind {
            case "ro": "mount -t tmpfs -o ro none /dev/shm"
            case "absent": "mount -t tmpfs none /dev && mkdir -p /dev && mknod /dev/null c 1 3"
            case "full": "mount -t tmpfs -o size=8k none /dev/shm"
            default:
                "mount -t tmpfs -o ro none /dev/shm && mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp"
            }
        let (program, remove) = try endings()
        defer { remove() }
        let script = """
            { \(mount); } || exit 77
            LD_PRELOAD="$1" "$2" exit; echo "bare $?"
            "$3" --no-history -i 0 "$2" exit 2>/var/tmp/memtrack-report-$$; echo "launched $?"
            cat /var/tmp/memtrack-report-$$; rm /var/tmp/memtrack-report-$$
            """
        let finished = try inNamespace(script, [try Build.library(), program, try Build.launcher()])
        #expect(finished.outputText.hasPrefix("bare 5\nlaunched 5\n"), "\(kind): \(finished.outputText)")
        #expect(finished.errors.isEmpty)
        let isCounted = finished.outputText.contains("2,000")
        switch kind {
        case "ro", "absent": #expect(isCounted, "\(finished.outputText)")
        case "full":
            #expect(!isCounted)
            #expect(finished.outputText.contains("found no room to count in"))
        default:
            #expect(!isCounted)
            #expect(finished.outputText.contains("only procfs figures are shown"))
        }
    }

    /// The session directory is removed while the program runs: it goes on, and so does the launcher.
    @Test func sessionDirectoryRemoved() throws {
        let finished = try Command.run([
            try Build.launcher(), "--no-history", "-i", "0.2", "sh", "-c",
            "rm -rf \"$MEMTRACK_SESSION\"; ls / >/dev/null; sleep 0.5; exit 3",
        ])
        #expect(finished.end == .exited(3))
        #expect(finished.errorText.contains("exit status 3"))
        #expect(!finished.errorText.contains("Fatal"))
    }

    /// Guards the advice that keeps the kernel from reading ahead in a region on a disk: without it a short program takes
    /// twenty times its time.
    @Test func sessionOnADisk() throws {
        let place = TemporaryDirectory(
            taking: "/var/tmp/memtrack-disk-\(getpid())-\(UInt64.random(in: 0...UInt64.max))")
        mkdir(place.path, 0o700)
        let finished = try Command.run(
            ["cat", "/proc/self/smaps"],
            environment: ["LD_PRELOAD": try Build.library(), "MEMTRACK_SESSION": place.path])
        let mappings = finished.outputText.components(separatedBy: "VmFlags:")
        let region = try #require(mappings.firstIndex { $0.contains(place.path + "/region-") })
        let flags = mappings[region + 1].split(separator: "\n")[0].split(separator: " ")
        #expect(flags.contains("rr"), "\(flags)")
    }

    /// A memory cgroup that is too small for the program: it is killed as it would be without us, and all it did is counted.
    /// What the shim needs counts as the program's; so the limit is one that it keeps well below.
    @Test(.enabled(if: Allowed.memoryCgroups, "no memory cgroup of version 1 that is ours"))
    func memoryCgroup() throws {
        let group = "/sys/fs/cgroup/memory/memtrack-test-\(getpid())"
        try #require(mkdir(group, 0o755) == 0)
        defer { rmdir(group) }
        try "33554432".write(toFile: group + "/memory.limit_in_bytes", atomically: false, encoding: .utf8)
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let script = "echo $$ > \(group)/cgroup.procs; exec \"$@\""
        func run(_ megabytes: Int, _ environment: [String: String]) throws -> Finished {
            try Command.run(
                ["sh", "-c", script, "sh", program, "heap", String(megabytes)], environment: environment)
        }
        let session = try Session()
        let (bare, counted) = (try run(8, [:]), try run(8, session.environment()))
        #expect(bare.isSuccess && counted.isSuccess)
        #expect(try #require(session.regions().last).totals.liveBlocks == 0)
        let killed = try Session()
        #expect(try run(100, [:]).end == .killed(SIGKILL))
        #expect(try run(100, killed.environment()).end == .killed(SIGKILL))
        let region = try #require(try killed.regions().last)
        #expect(region.identity.executable == program)
        #expect(region.totals.liveBytes > 8 << 20 && region.totals.liveBytes < 64 << 20)
        #expect(region.damagedRecords == 0)
    }

    /// A PID namespace: the region's name and the process's own id are those of the namespace.
    @Test(.enabled(if: Allowed.pidNamespaces, "no PID namespaces here"))
    func pidNamespace() throws {
        let session = try Session()
        let program = try Compiled.fixture("fork.c", ["-O1"])
        let finished = try session.run(["unshare", "-p", "--fork", program, "inherit"])
        #expect(finished.isSuccess, "\(finished.errorText)")
        let regions = try session.regions().filter { $0.identity.executable == program }
        #expect(regions.map(\.identity.origin) == [.exec, .fork])
        #expect(regions.map(\.totals.allocations) == [300, 51])
        #expect(regions.map(\.identity.pid) == [1, 2])
    }

    /// Stopped and continued in the middle: the counts are those of the whole.
    @Test func stopAndContinue() throws {
        let session = try Session()
        let program = try Compiled.fixture("limits.c", ["-O1"])
        let running = try Running([program, "many", "400000"], environment: session.environment())
        for _ in 0..<20 {
            kill(running.pid, SIGSTOP)
            usleep(2000)
            if let file = session.files().first, let region = try? RegionFile(path: file.path).snapshot() {
                #expect(region.damagedRecords == 0)
                #expect(region.totals.frees <= region.totals.allocations)
            }
            kill(running.pid, SIGCONT)
            usleep(3000)
        }
        #expect(try running.wait().isSuccess)
        #expect(try session.region().totals.allocations == 400_000)
    }

    /// Guards that libc's clock is not asked from inside a hook: another library may stand in for it.
    @Test func clockOfAnotherLibrary() throws {
        let session = try Session()
        let clock = try Compiled.fixture("clock.c", ["-O1", "-shared", "-fPIC"])
        let finished = try Command.run(
            [try Compiled.fixture("endings.c", ["-O1"]), "exit"],
            environment: session.environment(preload: [clock]))
        #expect(finished.end == .exited(5))
        // endings.c makes 2,000, and clock.c one, for the program: none for the shim.
        #expect(try session.region().totals.allocations == 2001)
    }

    /// Guards the reaping of a directory that nobody looks after: a build of thousands of processes must not fill
    /// /dev/shm. The newest stay for whoever wants to look, and those of the living.
    @Test(.enabled(if: Allowed.mounting, "no mounting here"))
    func bareProcessesLeaveNotTooMuch() throws {
        let (program, remove) = try endings()
        defer { remove() }
        let script = """
            mount -t tmpfs none /dev/shm || exit 77
            export LD_PRELOAD="$1"
            sleep 30 & living=$!
            i=0; while [ $i -lt 400 ]; do "$2" return; i=$((i+1)); done
            unset LD_PRELOAD
            ls /dev/shm/memtrack-0 | wc -l; ls /dev/shm/memtrack-0 | grep -c "region-$living-"; kill $living
            """
        let finished = try inNamespace(script, [try Build.library(), program])
        let numbers = finished.outputText.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        #expect(numbers.count == 2 && numbers[0] >= 64 && numbers[0] <= 130, "\(finished.outputText)")
        #expect(numbers.last == 1)
    }
}
