// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Whatever is wrong is said in one line: what, why, what to do. What can run runs.
@Suite struct BadInputTests {
    /// One line from the launcher alone, and the exit status of env(1) or sysexits.h.
    private static func refused(
        _ arguments: [String], _ status: Int32, _ parts: [String], environment: [String: String] = [:]
    ) throws {
        let run = try Command.run(
            [try Build.launcher(), "--no-history"] + arguments, environment: environment)
        #expect(run.end == .exited(status), "\(arguments)")
        #expect(run.outputText == "", "\(arguments)")
        let lines = run.errorText.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 2 && lines[1] == "", "\(run.errorText)")
        #expect(run.errorText.hasPrefix("memtrack-preload: "), "\(run.errorText)")
        for part in parts { #expect(run.errorText.contains(part), "\(run.errorText)") }
    }

    /// It ran as it would have, and one warning says why there are no objects; procfs figures are there.
    private static func ran(
        _ command: [String], options: [String] = [], environment: [String: String] = [:],
        status: Int32, _ parts: [String]
    ) throws {
        let (report, run) = try Report.of(
            command, options: ["-i", "0"] + options, environment: environment)
        #expect(run.end == .exited(status))
        let warnings = run.errorText.split(separator: "\n").filter { $0.hasPrefix("memtrack-preload: ") }
        #expect(warnings.count == 1, "\(run.errorText)")
        for part in parts { #expect(warnings.first?.contains(part) == true, "\(run.errorText)") }
        #expect(report.totals == nil)
        #expect(report.notes.count == 1)
        #expect(run.errorText.contains("exit status \(status)"))
        #expect(run.errorText.contains("RSS") || run.errorText.contains("could be measured"))
    }

    private static func script(_ text: String, in directory: TemporaryDirectory, _ mode: mode_t = 0o755)
        throws -> String
    {
        let path = directory.file("program")
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        chmod(path, mode)
        return path
    }

    @Test func namesAProgramThatCannotBeStarted() throws {
        let directory = try TemporaryDirectory()
        try Self.refused(["no-such-program-anywhere"], 127, ["not found in any directory of PATH", "check"])
        try Self.refused(["./no/such"], 127, ["no such file", "check the path"])
        try Self.refused([directory.path], 126, ["is a directory", "name the program"])
        let plain = try Self.script("text", in: directory, 0o644)
        try Self.refused([plain], 126, ["permission denied", "chmod +x"])
        let lost = try Self.script("#!/no/such/interpreter\n", in: directory)
        try Self.refused([lost], 127, ["/no/such/interpreter does not exist", "install"])
        try Self.refused([""], 127, ["the name of the program is empty; check"])
    }

    @Test(
        arguments: [
            (["-i", "abc", "true"], "'abc' is no interval; give seconds"),
            (["-i", "-1", "true"], "'-1' is no"),
            (["-i", "nan", "true"], "'nan' is no interval"), (["-i", "1e99", "true"], "is no interval"),
            (["--sort", "size", "true"], "'size' is no order; give one of: live"),
            (["--filter", "(", "true"], "'(' is not a regular expression"),
            (["--alloc-fn", "*", "true"], "'*' is not a regular expression"),
            (["-l", "many", "true"], "'many' is invalid"), (["-l", "-2", "true"], "-2 is no number of rows"),
            (["--stack-depth", "0", "true"], "0 is out of range; give 1 to 256"),
            (["--unwinder", "gdb", "true"], "'gdb' is no unwinder; give rules or libunwind"),
            (["--no-such-option", "true"], "unknown option '--no-such-option'; for a program of that name"),
            (
                ["--output", "a.pb.gz", "--json", "a.json", "true"],
                "--json and the companion of --output are one file"
            ),
            (
                ["--report", "a", "--json", "a", "true"],
                "--report and --json are one file, a; give them different"
            ),
            (["-o", "--no-objects", "true"], "contradict"),
            (["--pid", "4711"], "write: memtrack attach --pid N"), (["-ix", "true"], "'x' is no interval"),
            (["--native", "true"], "--native says whose frames --objects shows"),
            ([], "no PROGRAM given; try"),
            (["--"], "no PROGRAM given"), (["--json"], "Missing value for '--json"),
        ] as [([String], String)])
    func refusesABadCommandLine(arguments: [String], text: String) throws {
        try Self.refused(arguments, 64, [text])
    }

    @Test func answersQuestionsAboutItself() throws {
        for program in [try Build.launcher(), try Build.reader()] {
            for option in ["--help", "-h", "--version"] {
                let run = try Command.run([program, option])
                #expect(run.isSuccess)
                #expect(run.errorText == "")
                #expect(run.outputText.contains("memtrack"))
            }
        }
    }

    @Test func runsAStaticProgramWithoutObjects() throws {
        let path = try Compiled.fixture("report_target.c", as: "static", ["-static"])
        try Self.ran([path, "exit"], status: 0, ["statically linked", "without object figures"])
    }

    @Test(.enabled(if: getuid() == 0))
    func runsASetUserIDProgramWithoutObjects() throws {
        // Another owner: a set-user-ID program of root gains nothing when root runs it.
        let directory = try TemporaryDirectory()
        chmod(directory.path, 0o755)
        let path = directory.file("program")
        try FileManager.default.copyItem(atPath: try #require(Command.find("true")), toPath: path)
        chown(path, 65_534, 65_534)
        chmod(path, 0o4755)
        try Self.ran([path], status: 0, ["set-user-ID", "loader ignores preloaded libraries"])
    }

    @Test func runsWithoutALibraryToPreload() throws {
        for (path, text) in [("/no/such", "not found in /no/such"), ("/etc/passwd", "it is no ELF file")] {
            try Self.ran(
                ["sh", "-c", "exit 5"], environment: ["MEMTRACK_PRELOAD_LIBRARY": path], status: 5,
                [text, "MEMTRACK_PRELOAD_LIBRARY", "only procfs figures"])
        }
    }

    /// The header of an ELF file: class, machine, and an interpreter where there is one.
    private static func elf(bits: UInt8, machine: UInt8, interpreter: String?) -> Data {
        let is64 = bits == 64
        var bytes = [UInt8](repeating: 0, count: is64 ? 64 : 52)
        bytes.replaceSubrange(0..<7, with: [0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1])
        bytes[16] = 2  // ET_EXEC
        bytes[18] = machine
        bytes[20] = 1
        if let interpreter {
            let text = Array(interpreter.utf8) + [0]
            bytes[is64 ? 32 : 28] = UInt8(bytes.count)  // e_phoff
            bytes[is64 ? 54 : 42] = is64 ? 56 : 32  // e_phentsize
            bytes[is64 ? 56 : 44] = 1
            var segment = [UInt8](repeating: 0, count: is64 ? 56 : 32)
            segment[0] = 3  // PT_INTERP
            segment[is64 ? 8 : 4] = UInt8(bytes.count + segment.count)
            segment[is64 ? 32 : 16] = UInt8(text.count)
            bytes += segment + text
        }
        return Data(bytes)
    }

    @Test func saysWhyAForeignProgramHasNoObjects() throws {
        // The kernel refuses to start these: what counts is that the warning says why before it does.
        let directory = try TemporaryDirectory()
        let path = directory.file("program")
        let cases: [(Data, String)] = [
            (Self.elf(bits: 32, machine: 3, interpreter: "/lib/ld-linux.so.2"), "32-bit program"),
            (Self.elf(bits: 64, machine: 0xb7, interpreter: nil), "for another processor"),
            (Self.elf(bits: 64, machine: 62, interpreter: "/bin/ld-musl-x86_64.so.1"), "built for musl"),
        ]
        for (bytes, text) in cases {
            try bytes.write(to: URL(fileURLWithPath: path))
            chmod(path, 0o755)
            // The interpreter must exist, or that is what is wrong with it.
            let run = try Command.run([try Build.launcher(), "--no-history", "-i", "0", path])
            #expect(
                run.end == .exited(126) || run.end == .exited(127) || run.end == .killed(SIGSEGV)
                    || run.end == .killed(SIGKILL))
            let isMissing = run.errorText.contains("does not exist")
            #expect(isMissing || run.errorText.contains(text), "\(run.errorText)")
        }
    }

    @Test func preloadsALibraryWhosePathHasBlanksAndColons() throws {
        let directory = try TemporaryDirectory()
        let library = directory.file("a b:c $d.so")
        try FileManager.default.copyItem(atPath: try Build.library(), toPath: library)
        let (report, run) = try Report.of(
            ["sh", "-c", "echo $MEMTRACK_SESSION"], environment: ["MEMTRACK_PRELOAD_LIBRARY": library])
        #expect(run.isSuccess)
        #expect(try #require(report.totals).allocations > 0)
        let session = run.outputText.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(session.hasPrefix("/"))
        #expect(!FileManager.default.fileExists(atPath: session))
    }

    @Test func goesOnWhereItsFilesCannotBeWritten() throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("file")
        try "".write(toFile: file, atomically: true, encoding: .utf8)
        let launcher = try Build.launcher()
        let history = try Command.run([launcher, "-i", "0.1", "--history-dir", file + "/x", "sleep", "2"])
        #expect(history.isSuccess)
        let warnings = history.errorText.split(separator: "\n").filter { $0.contains("warning") }
        #expect(warnings.count == 1)
        #expect(warnings.first?.contains("Not a directory; use --history-dir DIR or --no-history") == true)
        #expect(history.errorText.contains("Checkpoint 2 "))

        let others = try Command.run([
            launcher, "--no-history", "--json", file + "/x", "--report", directory.path, "true",
        ])
        #expect(others.isSuccess)
        #expect(others.errorText.contains("cannot write \(file)/x: Not a directory"))
        #expect(
            others.errorText.contains("cannot write \(directory.path): Is a directory; name a file in it"))
        #expect(others.errorText.contains("exit status 0"))

        let lost = try Command.run([
            launcher, "-i", "0.1", "--no-history", "--report", "/dev/full", "sleep", "0.4",
        ])
        #expect(lost.isSuccess)
        // Once, and what could not be written is there, too.
        #expect(lost.errorText.split(separator: "\n").filter { $0.contains("warning") }.count == 1)
        #expect(
            lost.errorText.contains(
                "cannot write /dev/full: No space left on device; free some space there, or name another place; reports go to "
                    + "standard error"))
        for part in ["Checkpoint 1 ", "exit status 0"] {
            #expect(lost.errorText.contains(part), "\(lost.errorText)")
        }

        let full = try Command.run([
            "sh", "-c", "exec \"$@\" 2>/dev/full", "sh", launcher, "--no-history", "true",
        ])
        #expect(full.isSuccess)
        let closed = try Command.run(["sh", "-c", "exec \"$@\" 2>&-", "sh", launcher, "--no-history", "true"])
        #expect(closed.isSuccess)
    }
}
