// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// The reader before what is no region, no longer one, or not one that it understands.
@Suite struct BadInputReaderTests {
    private static func refused(
        _ arguments: [String], _ parts: [String], status: Int32 = 1, environment: [String: String] = [:]
    ) throws {
        let run = try Command.run([try Build.reader()] + arguments, environment: environment, timeout: 20)
        #expect(run.end == .exited(status), "\(arguments): \(run.end)")
        #expect(run.outputText == "")
        #expect(run.errorText.hasPrefix("memtrack: "))
        #expect(run.errorText.split(separator: "\n", omittingEmptySubsequences: false).count == 2)
        for part in parts { #expect(run.errorText.contains(part), "\(run.errorText)") }
    }

    @Test func saysThatThereIsNothingToRead() throws {
        try Self.refused(
            ["report", "--pid", "999999999"], ["no process has the PID 999999999", "memtrack list"])
        try Self.refused(
            ["report", "--pid", "1"], ["process 1 does not run under memtrack-preload", "start it"])
        try Self.refused(["report", "--pid", "-5"], ["-5 is no PID"], status: 64)
        try Self.refused(["report"], ["give one of FILE, --pid N and --region FILE"], status: 64)
        try Self.refused(["report", "--pid", "1", "--region", "x"], ["give one of"], status: 64)
        try Self.refused(["report", "--region", "/no/such"], ["no such region"])
        try Self.refused(["report", "--region", "/etc/passwd"], ["not a memtrack region"])
        try Self.refused(["report", "--region", "/tmp"], ["it is a directory"])
        try Self.refused(["report", "--region", "/dev/null"], ["no regular file"])
    }

    /// What is no subcommand is called that, with those that there are, and the one that was meant.
    @Test func saysWhichSubcommandsThereAre() throws {
        let all = "there are list, report, attach, objects, diff, merge, export, clean"
        try Self.refused(
            ["reprot", "x.pb.gz"], ["'reprot' is no subcommand; did you mean report?", all], status: 64)
        try Self.refused(["no-such-verb"], ["'no-such-verb' is no subcommand; \(all)"], status: 64)
        try Self.refused(["help", "exprot"], ["'exprot' is no subcommand; did you mean export?"], status: 64)
        try Self.refused(["/etc/passwd"], ["to see a file, write: memtrack report /etc/passwd"], status: 64)
        try Self.refused([""], ["'' is no subcommand"], status: 64)
        for good in [[], ["help"], ["help", "diff"], ["help", "help"], ["--help"]] {
            let run = try Command.run([try Build.reader()] + good)
            #expect(run.isSuccess && run.outputText.contains("memtrack"), "\(good) \(run.errorText)")
        }
        try Self.refused(
            ["diff", "a", "b", "--fail-above"], ["Missing value", "see memtrack diff --help"], status: 64)
        try Self.refused(
            ["diff", "a", "b", "--format", "foo"],
            ["'foo' is no format; give one of: text, json, markdown, html"], status: 64)
    }

    /// A wrong regular expression is a wrong command line, whoever finds it, and whatever the file.
    @Test(arguments: [
        ["report", "x", "--filter"], ["report", "x", "--type"], ["report", "x", "--exclude"],
        ["report", "x", "--alloc-fn"], ["objects", "x", "--type"],
        ["export", "x", "--format", "html", "--type"],
        ["diff", "x", "y", "--filter"], ["diff", "x", "y", "--type"], ["diff", "x", "y", "--alloc-fn"],
        ["attach", "--pid", "1", "--filter"],
    ]) func aWrongPatternIsUsage(arguments: [String]) throws {
        try Self.refused(arguments + ["("], ["'(' is not a regular expression"], status: 64)
    }

    /// An option without effect is a mistake that only we can see.
    @Test(arguments: [
        (["--format", "csv", "--sample-type", "peak_space"], "--sample-type: 'csv' has no choice of a"),
        (
            ["--format", "csv", "--label", "a=b"],
            "--label: 'csv' has no labels; give one of: jsonl, jsonl-types"
        ),
        (
            ["--format", "folded", "--type", "a"],
            "--type: 'folded' has no object types; give one of: csv-types"
        ),
    ]) func refusesAnOptionWithoutEffect(options: [String], text: String) throws {
        try Self.refused(["export", "x"] + options, [text], status: 64)
        try Self.refused(
            ["export", "--pid", "1", "--objects", "--format", "csv"],
            ["--objects: 'csv' has no object types"],
            status: 64)
        try Self.refused(
            ["report", "--pid", "1", "--objects", "--view", "tree"],
            ["--objects is for the report as a whole"],
            status: 64)
    }

    /// One TAB away from the profile; and what cannot be written is called by the name that the user has given.
    @Test func namesTheFileThatIsMeant() throws {
        let programs = try ProfiledProgram()
        let path = try programs.profile(["true"], as: "p")
        let companion = path.replacingOccurrences(of: ".pb.gz", with: ".json")
        try Self.refused(
            ["report", companion], ["it is the companion of \(path), which is the profile; give that"])
        let alone = programs.directory.file("alone.json")
        try FileManager.default.copyItem(atPath: companion, toPath: alone)
        try Self.refused(["report", alone], ["give the profile, which ends in .pb.gz"])
        for verb in [["report", path, "--output"], ["merge", path, "-o"]] {
            try Self.refused(verb + ["/nosuch/a.pb.gz"], ["cannot write /nosuch/a.pb.gz: No such file"])
        }
        let file = programs.directory.file("q.pb.gz")
        try FileManager.default.createDirectory(
            atPath: programs.directory.file("q.json"), withIntermediateDirectories: false)
        try Self.refused(
            ["merge", path, "-o", file], ["cannot write \(file), whose companion is", "Is a directory"])
        let empty = programs.directory.file("empty.pb.gz")
        try Data().write(to: URL(fileURLWithPath: empty))
        try Self.refused(["report", empty], ["it is empty; give a file that"])
    }

    @Test func saysWhatIsWrongWithAnExport() throws {
        try Self.refused(["export", "x", "--format", "svg"], ["'svg' is no format", "html"], status: 64)
        try Self.refused(
            ["export", "x", "--format", "folded", "--sample-type", "bytes"],
            ["'bytes' is no sample type", "peak_space"], status: 64)
        try Self.refused(
            ["export", "x", "--format", "jsonl", "--label", "v"], ["'v' is no label", "--label version=1.4"],
            status: 64)
        try Self.refused(
            ["export", "bot.pb.gz", "--format", "json", "--output", "bot.json"],
            ["bot.json is a part of the profile bot.pb.gz"], status: 64)
        try Self.refused(["export", "/no/such", "--format", "html"], ["/no/such"])
        try Self.refused(
            ["diff", "x", "y", "--json", "--format", "html"], ["contradict each other"], status: 64)
        try Self.refused(
            ["diff", "x", "y", "--against", "z", "--format", "html"], ["a page compares two profiles"],
            status: 64)
    }

    @Test func saysWhatIsWrongWithAProfile() throws {
        let programs = try ProfiledProgram()
        let path = try programs.profile(["true"], as: "p")
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let cut = programs.directory.file("cut.pb.gz")
        try whole.dropLast(20).write(to: URL(fileURLWithPath: cut))
        for verb in [
            ["report"], ["export", "--format", "csv"], ["diff", path], ["merge", "-o", cut, path],
        ] {
            let status: Int32 = verb[0] == "diff" ? 2 : 1  // 1 would say that something grew
            try Self.refused(verb + [cut], [cut, "it ends early"], status: status)
            try Self.refused(verb + ["/etc/passwd"], ["/etc/passwd: it is no pprof profile"], status: status)
            try Self.refused(verb + ["/no/such"], ["cannot read /no/such: No such file"], status: status)
            try Self.refused(verb + ["/tmp"], ["cannot read /tmp: Is a directory"], status: status)
            try Self.refused(verb + ["/dev/zero"], ["/dev/zero: larger than 256 MB"], status: status)
        }
        try Self.refused(["diff", path], ["give OLD and NEW"], status: 64)
        try Self.refused(["report", path, "--view", "x"], ["'x' is no view"], status: 64)
        try Self.refused(["report", path, "--sort", "growth"], ["'growth' is no order"], status: 64)
        try Self.refused(["report", path, "--peak", "--temporary"], ["contradict"], status: 64)
        try Self.refused(["report", path, "--min-share", "101"], ["no share"], status: 64)
        try Self.refused(
            ["report", path, "--focus", "("], ["--focus: '(' is not a regular expression"], status: 64)
        try Self.refused(["diff", path, path, "--by", "x"], ["'x' is no unit"], status: 64)
    }

    @Test func refusesARegionThatIsNotSound() throws {
        let session = try Session()
        _ = try session.run([try ReportTests.target(), "exit"])
        let whole = try Data(contentsOf: URL(fileURLWithPath: try #require(session.files().first).path))
        let directory = try TemporaryDirectory()
        let path = directory.file("region")
        func damaged(_ change: (inout Data) -> Void) throws -> [String] {
            var bytes = whole
            change(&bytes)
            try bytes.write(to: URL(fileURLWithPath: path))
            return ["report", "--region", path]
        }
        try Self.refused(
            try damaged { $0[8] &+= 1 }, ["region version", "use the memtrack that was installed"])
        try Self.refused(try damaged { $0 = $0.prefix(8192) }, ["cut short", "profile the program again"])
        try Self.refused(try damaged { $0 = $0.prefix(3) }, [path])
        try Self.refused(try damaged { $0 = Data() }, ["has not finished making it"])
        try Self.refused(try damaged { $0[0] = 0x20 }, ["not a memtrack region"])
        // used_pages
        try Self.refused(
            try damaged { $0.replaceSubrange(24..<32, with: [1, 0, 0, 0, 0, 0, 0, 0]) }, ["damaged"])
    }

    /// Any byte may be anything: the reader answers or refuses, it does not crash or hang.
    @Test func survivesAnyDamage() throws {
        let session = try Session()
        _ = try session.run([try ReportTests.target(), "exit"])
        let whole = try Data(contentsOf: URL(fileURLWithPath: try #require(session.files().first).path))
        let directory = try TemporaryDirectory()
        let path = directory.file("region")
        var random = SystemRandomNumberGenerator()
        for _ in 0..<30 {
            var bytes = whole
            for _ in 0..<200 {
                // Mostly the pages that hold directories and records.
                let place = Int.random(in: 16..<min(bytes.count, 65_536), using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            try bytes.write(to: URL(fileURLWithPath: path))
            let run = try Command.run(
                [try Build.reader(), "report", "--json", "--region", path], timeout: 20)
            #expect(run.end == .exited(0) || run.end == .exited(1), "\(run.end) \(run.errorText)")
            if run.end == .exited(1) { #expect(run.errorText.hasPrefix("memtrack: ")) }
        }
    }

    @Test func saysThatItsOutputCannotBeWritten() throws {
        for redirection in [">/dev/full", ">&-"] {
            let run = try Command.run([
                "sh", "-c", "exec \"$0\" list \(redirection)", try Build.reader(),
            ])
            #expect(run.end == .exited(1))
            #expect(run.errorText.hasPrefix("memtrack: cannot write standard output: "))
        }
    }
}

/// Where regions are kept: tried in a mount namespace of its own, with a /dev/shm of its own.
@Suite(.enabled(if: Namespace.isAvailable))
struct BadInputNamespaceTests {
    /// Runs a script as `sh -c`, with the launcher as $L and the reader as $R, on a new /dev/shm.
    static func inNamespace(_ script: String, mount options: String = "size=8m") throws -> Finished {
        // What lies in /dev/shm now is hidden by the mount: the products are elsewhere.
        let all = "mount -t tmpfs -o \(options) tmpfs /dev/shm && \(script)"
        return try Command.run(
            ["unshare", "-rm", "sh", "-c", all],
            environment: ["L": try Build.launcher(), "R": try Build.reader()])
    }

    @Test func runsWithoutObjectsWhereNoSessionCanBeMade() throws {
        let script = """
            mkdir -m 755 /dev/shm/memtrack-0; "$L" --no-history -i 0 sh -c 'echo out; exit 4'
            """
        let open = try Self.inNamespace(script)
        #expect(open.end == .exited(4))
        #expect(open.outputText == "out\n")
        #expect(open.errorText.contains("mode 755 lets other users in"))
        #expect(open.errorText.contains("chmod 700"))
        #expect(open.errorText.contains("only procfs figures are shown"))

        let file = try Self.inNamespace("touch /dev/shm/memtrack-0; \"$L\" --no-history -i 0 true")
        #expect(file.isSuccess)
        #expect(file.errorText.contains("a directory is needed here"))
    }

    @Test func runsTheProgramWhereThereIsNoProc() throws {
        let run = try Self.inNamespace(
            "mount -t tmpfs tmpfs /proc; \"$L\" --no-history -i 0 sh -c 'echo \"$0\"; exit 3' 'a b'; echo $?")
        #expect(run.outputText == "a b\n3\n")
        #expect(run.errorText.contains("/proc is not mounted"))
        #expect(run.errorText.contains("exit status 3"))
    }

    @Test func saysWhatAFullMemoryFileSystemCost() throws {
        let run = try Self.inNamespace(
            "\"$L\" --no-history -i 0 sh -c 'for i in 1 2 3; do x=$x$i; done; exit 3'", mount: "size=32k")
        #expect(run.end == .exited(3))
        #expect(
            run.errorText.contains("The system refused memory for the counters")
                || run.errorText.contains("no region could be made")
                || run.errorText.contains("has been full: processes that started then are in no figure"),
            "\(run.errorText)")
    }

    /// A server runs for days until its final report: that nothing is counted is said at the first checkpoint, and no table
    /// of nothing is shown.
    @Test func saysAtOnceThatThereIsNoRoom() throws {
        let run = try Self.inNamespace("\"$L\" --no-history -i 0.3 sleep 0.8", mount: "size=8k")
        #expect(run.isSuccess)
        let parts = run.errorText.components(separatedBy: "── Checkpoint ")
        try #require(parts.count >= 3, "\(run.errorText)")
        for part in parts[1...2] {
            #expect(part.contains("found no room to count in") || part.contains("has been full"), "\(part)")
            #expect(!part.contains("Sites") && !part.contains("live heap"), "\(part)")
        }
        let roomy = try Self.inNamespace("\"$L\" --no-history -i 0.3 sleep 0.8")
        #expect(!roomy.errorText.contains("! "), "\(roomy.errorText)")
        #expect(roomy.errorText.contains("live heap"))
    }

    /// What was there before stays where there is no room for the new one.
    @Test func aFullDiskKeepsTheFormerFile() throws {
        let script = """
            mount -t tmpfs -o size=8k tmpfs /mnt; echo former > /mnt/b.json
            "$L" --no-history -q -i 0 --json /mnt/b.json ls / >/dev/null; echo $?; cat /mnt/b.json; ls /mnt
            """
        let run = try Self.inNamespace(script)
        #expect(run.outputText == "0\nformer\nb.json\n", "\(run.outputText)")
        #expect(
            run.errorText.contains("cannot write /mnt/b.json: No space left on device"), "\(run.errorText)")
    }

    /// A process that found no room for a region cannot say so itself.
    @Test func saysThatProcessesMayBeMissing() throws {
        let script = """
            "$L" --no-history -i 0 sh -c 'for i in 1 2 3 4 5 6 7 8 9; do ls / >/dev/null; done; echo all'
            """
        let small = try Self.inNamespace(script, mount: "size=150k")
        #expect(small.outputText == "all\n")
        #expect(small.errorText.contains("has been full: processes that started then are in no figure"))
        let roomy = try Self.inNamespace(script)
        #expect(!roomy.errorText.contains("has been full"))
    }

    @Test func cleanRemovesWhatTheDeadHaveLeft() throws {
        let library = try Build.library()
        let script = """
            LD_PRELOAD=\(library) sh -c 'exit 0'
            LD_PRELOAD=\(library) sleep 30 & p=$!
            sleep 0.2
            "$L" -q --no-history sh -c 'kill -9 $PPID; sleep 0.1'
            sleep 0.3
            "$R" list; "$R" clean; echo "--"; ls /dev/shm/memtrack-0; "$R" list --json
            kill $p; wait; "$R" clean >/dev/null; ls /dev/shm/memtrack-0; "$R" list
            """
        let run = try Self.inNamespace(script)
        let parts = run.outputText.components(separatedBy: "--\n")
        try #require(parts.count == 2)
        #expect(parts[0].contains("running"))
        #expect(parts[0].contains("sleep 30"))
        #expect(parts[0].contains("removed /dev/shm/memtrack-0/region-"))
        #expect(parts[0].contains("removed /dev/shm/memtrack-0/session-"))
        #expect(parts[1].split(separator: "\n").first?.hasPrefix("region-") == true)
        #expect(!parts[1].contains("session-"))
        #expect(parts[1].contains("\"isAlive\" : true"))
        #expect(parts[1].hasSuffix("No regions. Start a program with: memtrack-preload PROGRAM\n"))
    }

    @Test func listsThousandsOfRegionsQuickly() throws {
        let script = """
            LD_PRELOAD=\(try Build.library()) env true
            cd /dev/shm/memtrack-0 && f=$(ls | head -1) && i=1 && while [ $i -le 1500 ]; do cp $f "region-1-$i"; i=$((i+1)); done
            date +%s%N; "$R" list; date +%s%N
            """
        let run = try Self.inNamespace(script, mount: "size=200m")
        let lines = run.outputText.split(separator: "\n")
        let first = try #require(lines.first.flatMap { Int($0) })
        let last = try #require(lines.last.flatMap { Int($0) })
        #expect(last - first < 3_000_000_000)
        #expect(run.outputText.contains("older ones of ended processes"))
    }
}

private enum Namespace {
    /// Not everywhere may a user have one.
    static let isAvailable: Bool = {
        let run = try? Command.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"])
        return run?.isSuccess ?? false
    }()
}
