// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Real programs to run under the library, on files of their own that no run changes.
struct RealProgram: CustomTestStringConvertible, Sendable {
    let name: String
    let command: [String]
    var input = ""
    /// Its sequence of allocations is a matter of timing, so it has no second run to compare with.
    var testDescription: String { name }

    /// nil where the program is not installed.
    private static func make(_ name: String, _ command: [String], input: String = "") -> RealProgram? {
        Command.has(command[0]) ? RealProgram(name: name, command: command, input: input) : nil
    }

    private static func python(_ name: String, _ script: String) -> RealProgram? {
        Command.python.map { RealProgram(name: "python3 " + name, command: [$0, "-c", script]) }
    }

    /// Single-threaded, or with threads that are joined: two counters must agree to the last byte.
    static let counted: [RealProgram] = [
        python(
            "json",
            """
            import json
            rows = [{"id": i, "name": "n%d" % i, "tags": list(range(i % 9))} for i in range(3000)]
            print(len(json.dumps(json.loads(json.dumps(rows)), indent=1)))
            """),
        python(
            "subprocess",
            """
            import subprocess
            for i in range(3): print(subprocess.run(["echo", str(i)], capture_output=True).stdout)
            """),
        python(
            "fork",
            """
            import os
            data = [str(i) * 40 for i in range(20000)]
            pid = os.fork()
            data = [d[1:] for d in data]
            if pid == 0: os._exit(3)
            print(os.waitpid(pid, 0)[1])
            """),
        python(
            "threads",
            """
            import threading
            def work(): sum(len(str(i) * 200) for i in range(4000))
            threads = [threading.Thread(target=work) for _ in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            """),
        make(
            "sqlite3", ["sqlite3", ":memory:"],
            input: """
                create table t(a integer primary key, b text);
                with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
                insert into t select i, printf('%064d', i * 7919) from n;
                create index u on t(b);
                select count(*), sum(length(b)) from t where b > '5' or a % 7 = 0;
                select b, count(*) from t group by substr(b, 60) order by b limit 3;
                """),
        make("git log", ["git", "log", "--stat", "-p"]),
        make("git diff", ["git", "diff", "HEAD~5", "HEAD"]),
        make(
            "perl",
            [
                "perl", "-e",
                "my %h; $h{$_ % 997} .= \"x$_\" for 1..60000; print join(',', map { length $h{$_} } sort keys %h), qq(\\n);",
            ]),
        make("g++", ["g++", "-O1", "-c", "-o", "/dev/null", "words.cpp"]),
        make(
            "bash pipes",
            [
                "bash", "-c",
                "for i in 1 2 3 4; do seq 1 500 | sort -rn | head -3; (x=$(echo $i); echo sub $x); done",
            ]),
        make(
            "bash loops",
            ["bash", "-c", "a=(); for ((i = 0; i < 4000; i++)); do a+=(\"item $i\"); done; echo ${#a[@]}"]),
        make(
            "awk",
            ["awk", "BEGIN { for (i = 0; i < 30000; i++) a[i % 999] = a[i % 999] i; print length(a[5]) }"]),
        make("sort", ["sort", "--parallel=2", "-S", "2M", "numbers.txt"]),
        make("tar and gzip", ["tar", "czf", "/dev/null", "numbers.txt", "words.cpp"]),
        make("jq", ["jq", "-n", "[range(3000) | {a: ., b: (. | tostring)}] | map(.b) | add | length"]),
    ].compactMap { $0 }

    /// More, whose output, errors and exit status alone are compared.
    static let compared: [RealProgram] =
        counted
        + [
            python("exception", "def f(n): return f(n - 1) if n else {}['gone']\nf(5)"),
            python("exit status", "import sys; sys.stderr.write('to stderr\\n'); sys.exit(41)"),
            make("ls", ["ls", "-la", "--time-style=+", "numbers.txt", ".git/refs", "nothing"]),
            make("git status", ["git", "status", "--short", "--branch"]),
            make("git failure", ["git", "log", "no-such-branch"]),
            make("perl die", ["perl", "-e", "open F, '<', '/no/such' or die qq(cannot: $!)"]),
            make("g++ warnings", ["g++", "-Wall", "-c", "-o", "/dev/null", "warned.cpp"]),
            make("g++ errors", ["g++", "-c", "-o", "/dev/null", "broken.cpp"]),
            make("bash signal", ["bash", "-c", "echo before; kill -TERM $$; echo after"]),
            make("bash trap", ["bash", "-c", "trap 'echo caught; exit 7' USR1; kill -USR1 $$; sleep 5"]),
            make("bash missing", ["bash", "-c", "no-such-program-here; echo $?; exec /no/such/program"]),
            make("bash job", ["bash", "-c", "sleep 0.05 & wait $!; echo $?; echo err >&2; exit 42"]),
            make("sh abort", ["sh", "-c", "kill -ABRT $$"]),
            make("sed", ["sed", "-n", "s/7/seven/gp", "numbers.txt"]),
            make("find and xargs", ["sh", "-c", "find . -name '*.cpp' | sort | xargs -n1 wc -l"]),
            make("bc", ["bc", "-q"], input: "2^4000 % 999999937\nscale=60; 1/7\n"),
            make("node", ["node", "-e", "console.log([...Array(2000).keys()].map(String).join('').length)"]),
            make("java", ["java", "-Xshare:auto", "-version"]),
            make("javac", ["java", "Hello.java"]),
        ].compactMap { $0 }
}

/// The directory the programs run in.
enum Workplace {
    static let directory = Result { try make() }

    private static func make() throws -> TemporaryDirectory {
        let place = try TemporaryDirectory()
        func write(_ name: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: place.file(name)))
        }
        let numbers = (0..<20000).map { String(($0 * 7919) % 100003) }
        try write("numbers.txt", numbers.joined(separator: "\n") + "\n")
        try write(
            "words.cpp",
            """
            #include <map>
            #include <string>
            #include <vector>
            int main() { std::map<std::string, std::vector<int>> m; m["a"].push_back(1); return (int)m.size(); }

            """)
        try write("warned.cpp", "int f() { int unused = 1; }\nint main() { return f(); }\n")
        try write("broken.cpp", "int main() { return undeclared + missing(\"x\"); }\n")
        try write(
            "Hello.java",
            "public class Hello { public static void main(String[] a) { System.out.println(\"hello\"); } }\n")
        let git = [
            "git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main",
        ]
        let dates = ["GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000"]
        _ = try Command.run(git + ["init", "-q"], directory: place.path)
        for round in 1...8 {
            try write("file\(round % 3).txt", numbers.prefix(round * 200).joined(separator: " \(round)\n"))
            _ = try Command.run(git + ["add", "."], directory: place.path)
            let made = try Command.run(
                git + ["commit", "-q", "-m", "round \(round)"], environment: dates, directory: place.path)
            guard made.isSuccess else { throw HarnessError("git commit: \(made.errorText)") }
        }
        return place
    }
}
