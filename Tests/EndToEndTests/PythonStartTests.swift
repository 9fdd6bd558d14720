// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// The ways in which people start Python: the program behaves as without us, and its types are there.
@Suite struct PythonStartTests {
    private static let bot = """
        import os, sys
        class Kept: pass
        kept = [Kept() for _ in range(5000)]
        print(sys.argv[1:], sys.flags.isolated, sys.flags.no_site, sys.flags.ignore_environment, sys.prefix)
        print(sorted(sys.modules), len(sys.path), file=sys.stderr)
        if "fail" in sys.argv: raise SystemExit(3)
        """

    private static let pool = """
        import multiprocessing, os, sys, time
        class Kept: pass
        def work(n, file):
            global kept
            kept = [Kept() for _ in range(n)]
            print("child", os.getpid(), flush=True)
            while not os.path.exists(file): time.sleep(0.01)
        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            process = context.Process(target=work, args=(5000, sys.argv[2]))
            process.start(); process.join()
            print(sys.argv[1], process.exitcode)
        """

    /// A place with the program as script, module and command, a user's broken sitecustomize, a real virtual
    /// environment, and a wrapper that execs the interpreter, as pyenv's do.
    private static func prepare(_ python: String) throws -> TemporaryDirectory {
        let place = try TemporaryDirectory()
        func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws {
            try text.write(toFile: place.file(name), atomically: true, encoding: .utf8)
            chmod(place.file(name), mode)
        }
        try write("bot.py", bot)
        try write("command", "#!/usr/bin/env python3\n" + bot, mode: 0o755)
        try write("pool.py", pool)
        mkdir(place.file("bin"), 0o755)
        try write("bin/python3", "#!/usr/bin/env bash\nset -e\nexec \"\(python)\" \"$@\"\n", mode: 0o755)
        mkdir(place.file("broken"), 0o755)
        try write("broken/sitecustomize.py", "raise RuntimeError('broken')\n")
        let made = try Command.run([python, "-m", "venv", "--without-pip", place.file("venv")])
        guard made.isSuccess else { throw HarnessError("venv: \(made.errorText)") }
        return place
    }

    private struct Start: CustomTestStringConvertible {
        var testDescription: String
        var command: [String]
        var variables: [String: String] = [:]
        var status: Int32 = 0
    }

    /// `@` stands for the place, `python3` for the interpreter where it comes first.
    private static let starts = [
        Start(testDescription: "a virtual environment", command: ["@/venv/bin/python", "@/bot.py", "x"]),
        Start(
            testDescription: "a wrapper that execs", command: ["@/bin/python3", "@/bot.py", "fail"], status: 3
        ),
        Start(
            testDescription: "a command of env", command: ["@/command", "x"], variables: ["PATH": "@/bin"]),
        Start(
            testDescription: "a command of a venv", command: ["@/command"],
            variables: ["PATH": "@/venv/bin"]),
        Start(testDescription: "a module", command: ["python3", "-m", "bot", "fail"], status: 3),
        Start(testDescription: "isolated", command: ["python3", "-I", "@/bot.py"]),
        Start(testDescription: "without site", command: ["python3", "-S", "@/bot.py"]),
        Start(testDescription: "without environment", command: ["python3", "-E", "@/bot.py"]),
        Start(testDescription: "with all three", command: ["python3", "-I", "-S", "-E", "@/bot.py"]),
        Start(
            testDescription: "a broken sitecustomize", command: ["python3", "@/bot.py"],
            variables: ["PYTHONPATH": "@/broken"]),
    ]

    @Test(arguments: starts.indices) func asWithoutUs(number: Int) throws {
        let start = Self.starts[number]
        let python = try #require(Command.python)
        let place = try Self.prepare(python)
        func put(_ text: String) -> String { text.replacing("@", with: place.path) }
        var command = start.command.map(put)
        if command[0] == "python3" { command[0] = python }
        var variables = Command.environment.merging(start.variables.mapValues(put)) { $1 }
        if start.variables["PATH"] != nil {
            variables["PATH", default: ""] += ":" + (Command.environment["PATH"] ?? "")
        }
        let bare = try Command.run(command, environment: variables, directory: place.path)
        #expect(bare.end == .exited(start.status), "\(bare.errorText)")
        let launcher = [
            try Build.launcher(), "-o", "-q", "-i", "0.2", "--no-history", "--json", place.file("out.json"),
        ]
        let run = try Command.run(launcher + command, environment: variables, directory: place.path)
        let what = start.testDescription
        #expect(run.end == bare.end, "\(what)")
        #expect(run.outputText == bare.outputText, "\(what)")
        #expect(run.errorText == bare.errorText, "\(what)")
        let data = try Data(contentsOf: URL(fileURLWithPath: place.file("out.json")))
        let types = try JSONDecoder().decode(Types.self, from: data).types
        #expect(types.first { $0.name == "Kept" }?.count == 5000, "\(what): \(types.count) types")
    }

    /// The child's objects are looked at in the child.
    @Test(arguments: ["fork", "spawn", "forkserver"]) func multiprocessing(method: String) throws {
        let python = try #require(Command.python)
        let place = try Self.prepare(python)
        let command = [python, place.file("pool.py"), method, place.file("go")]
        let program = try Stepped(command, ["MEMTRACK_OBJECTS": "1"])
        let pid = try #require(Int32(try program.line("child ")))
        let name = program.session.directory.entries().last { $0.contains("-\(pid)-") }
        let looked = try Command.run([
            try Build.reader(), "objects", "--json", "--region",
            program.session.directory.file(try #require(name, "no region of the child")),
        ])
        #expect(looked.isSuccess, "\(looked.errorText)")
        let types = try JSONDecoder().decode(Types.self, from: looked.output).types
        #expect(types.first { $0.name == "Kept" }?.count == 5000)
        try #require(FileManager.default.createFile(atPath: place.file("go"), contents: nil))
        let finished = try program.finish()
        let bare = try Command.run(command)
        func words(_ run: Finished) -> [Substring] {
            run.outputText.split(whereSeparator: \.isWhitespace).filter { Int($0).map { $0 < 10 } ?? true }
        }
        #expect(finished.end == bare.end && finished.isSuccess)
        #expect(words(finished) == words(bare) && words(bare) == ["child", Substring(method), "0"])
        #expect(finished.errorText == bare.errorText)
    }

    private struct Types: Decodable {
        struct Kind: Decodable {
            var name: String
            var count: Int
        }
        var types: [Kind]
    }
}
