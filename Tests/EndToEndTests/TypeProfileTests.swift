// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Object types in saved profiles: what a run with -o keeps, and what a user makes of it later.
@Suite struct TypeProfileTests {
    private static let bot = """
        import sys, time
        class Entry:
            def __init__(self, i):
                self.key = i
        cache = {}
        def remember(n):
            for i in range(n):
                cache[len(cache)] = Entry(i)
        remember(500)
        for _ in range(30):
            remember(int(sys.argv[1]))
            time.sleep(0.1)
        """

    private static func profiles() throws -> (ProfiledProgram, String, String) {
        let programs = try ProfiledProgram()
        let script = programs.directory.file("bot.py")
        try bot.write(toFile: script, atomically: true, encoding: .utf8)
        let python = try #require(Command.python)
        func run(_ leak: Int) throws -> String {
            try programs.profile([python, script, "\(leak)"], as: "leak\(leak)", ["-o", "-i", "0.4"])
        }
        return (programs, try run(0), try run(1000))
    }

    @Test func typesThatGrew() throws {
        let (programs, old, new) = try Self.profiles()
        let text = try programs.memtrack(["diff", old, new])
        let table = try #require(text.components(separatedBy: "Object types").last)
        let first = table.split(separator: "\n").dropFirst(2).first
        #expect(first?.contains("Entry  Python") ?? false, "\(text)")
        let one = try programs.memtrack(["diff", old, new, "--type", "^Entry$", "--markdown"])
        #expect(one.contains("| `Entry` Python |") && !one.contains("`dict` Python"))
        #expect(try programs.memtrack(["diff", old, new, "--format", "html"]).contains("Entry  Python"))

        // The final report is about the growth since the first look, not since the last.
        let grown = try programs.memtrack(["objects", new, "--sort", "growth", "-l", "1"])
        #expect(grown.contains("Entry  Python") && grown.contains("change since +"), "\(grown)")
        let csv = try programs.memtrack(["objects", new, "--csv"])
        #expect(csv == (try programs.memtrack(["export", new, "--format", "csv-types"])))
        let rows = csv.split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
        let entry = try #require(rows.first { $0.starts(with: ["Python", "Entry"]) })
        let (count, change) = (try #require(Int(entry[2])), try #require(Int(entry[7])))
        #expect(count > 1_500 && count % 500 == 0 && change > 0 && change <= count, "\(entry)")

        let merged = programs.directory.file("both.pb.gz")
        _ = try programs.memtrack(["merge", old, new, "-o", merged])
        let both = try programs.memtrack(["objects", merged, "--csv"])
        #expect(both.contains("Python,Entry,\(count + 500),"), "\(both)")
    }

    /// Whatever shows types shows those asked for, with the totals of all; a profile saved with --type has no others.
    @Test func theFilterHoldsEverywhere() throws {
        let (programs, old, new) = try Self.profiles()
        let filter = ["--type", "^(Entry|type)$"]
        func json(_ arguments: [String]) throws -> [String: Any] {
            let data = Data(try programs.memtrack(arguments).utf8)
            return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        }
        func names(_ document: [String: Any]) -> Set<String> {
            Set((document["types"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String })
        }
        func count(_ document: [String: Any]) -> Int? {
            (document["objects"] as? [String: Any])?["count"] as? Int
        }
        let all = try json(["report", new, "--json"])
        #expect(names(all).count > 20)
        for arguments in [
            ["report", new, "--json"], ["objects", new, "--json"], ["export", new, "--format", "json"],
        ] {
            let some = try json(arguments + filter)
            #expect(names(some) == ["Entry", "type"], "\(arguments)")
            #expect(count(some) == count(all), "\(arguments)")
        }
        for arguments in [
            ["objects", new, "--csv"], ["export", new, "--format", "csv-types"],
            ["export", new, "--format", "jsonl-types"],
        ] {
            let lines = try programs.memtrack(arguments + filter).split(separator: "\n")
            #expect(lines.filter { !$0.hasPrefix("runtime,") }.count == 2, "\(arguments)")
        }
        for arguments in [["export", new], ["diff", old, new]] {
            let page = try programs.memtrack(arguments + ["--format", "html"] + filter)
            #expect(page.contains("Entry  Python") && !page.contains("dict  Python"), "\(arguments)")
        }
        let objects = try #require(
            try json(["diff", old, new, "--json"] + filter)["objects"] as? [String: Any])
        #expect(names(objects) == ["Entry", "type"])

        let saved = programs.directory.file("some.pb.gz")
        _ = try programs.memtrack(["report", new, "--output", saved] + filter)
        let some = try json(["report", saved, "--json"])
        #expect(names(some) == ["Entry", "type"])
        let rows = try #require(some["types"] as? [[String: Any]])
        #expect(count(some) == rows.reduce(0) { $0 + ($1["count"] as? Int ?? 0) })

        let wrong = try Command.run([try Build.reader(), "export", new, "--format", "folded"] + filter)
        #expect(wrong.end == .exited(64) && wrong.errorText.contains("'folded' has no object types"))
    }

    /// What the launcher writes for scripts follows --type as its screen does; the profile has all types.
    @Test func theLaunchersFilter() throws {
        let programs = try ProfiledProgram()
        let (script, path) = (programs.directory.file("bot.py"), programs.directory.file("out.json"))
        try Self.bot.write(toFile: script, atomically: true, encoding: .utf8)
        let python = try #require(Command.python)
        let profile = try programs.profile(
            [python, script, "10"], as: "some", ["--type", "^Entry$", "-i", "1", "--json", path])
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let document = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let types = try #require(document["types"] as? [[String: Any]])
        #expect(types.compactMap { $0["name"] as? String } == ["Entry"])
        #expect(try programs.memtrack(["objects", profile, "--csv"]).contains("Python,dict,"))
    }

    /// The time of a look at a process that runs is now; and one look knows of no growth.
    @Test func oneLook() throws {
        let session = try Session(listedFor: getpid())
        let program = try Stepped(
            [try Compiled.fixture("attached.c")], ["MEMTRACK_OBJECTS": "1"], in: session)
        _ = try program.line("ready")
        let place = try TemporaryDirectory()
        let saved = place.file("now.pb.gz")
        usleep(300_000)
        let pid = "\(program.running.pid)"
        let run = try Command.run([
            try Build.reader(), "report", "--pid", pid, "--objects", "--output", saved,
        ])
        #expect(run.isSuccess, "\(run.errorText)")
        let json = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: place.file("now.json"))))
        let objects = try #require((json as? [String: Any])?["objects"] as? [String: Any])
        #expect(try #require(objects["elapsedSeconds"] as? Double) > 0.3)
        let growth = try Command.run([try Build.reader(), "objects", saved, "--sort", "growth"])
        #expect(growth.end == .exited(64) && growth.errorText.contains("has one look at its objects"))
        _ = try program.finish()
    }

    @Test func withoutTypes() throws {
        let programs = try ProfiledProgram()
        let bare = try programs.profile(["/bin/true"], as: "bare")
        for arguments in [["objects", bare], ["export", bare, "--format", "jsonl-types"]] {
            let run = try Command.run([try Build.reader()] + arguments)
            #expect(run.end == .exited(1))
            #expect(run.errorText.contains("bare.pb.gz has no object types; run the program with"))
        }
        #expect(!(try programs.memtrack(["diff", bare, bare])).contains("Object types"))
        for arguments in [
            ["report", bare, "--objects"], ["export", bare, "--objects", "--format", "csv"],
            ["report", bare, "--type", "x", "--view", "sites"],
            ["export", bare, "--type", "(", "--format", "html"], ["objects", bare, "--sort", "peak"],
            ["objects", "--pid", "1", "--sort", "growth"], ["diff", bare, bare, "--type", "("],
        ] {
            let run = try Command.run([try Build.reader()] + arguments)
            #expect(!run.isSuccess && !run.errorText.isEmpty, "\(arguments)")
        }
    }

    /// Two moments of a service that nobody launched.
    @Test func momentsOfAProcessThatRuns() throws {
        let python = try #require(Command.python)
        let programs = try ProfiledProgram()
        let script = """
            import os
            class Entry: pass
            kept = [Entry() for _ in range(100)]
            print("ready", flush=True)
            os.read(0, 1)
            kept += [Entry() for _ in range(900)]
            print("again", flush=True)
            os.read(0, 1)
            """
        let program = try Stepped([python, "-c", script], ["MEMTRACK_OBJECTS": "1"])
        func save(at word: String) throws -> String {
            _ = try program.line(word)
            let path = programs.directory.file(word + ".pb.gz")
            _ = try programs.memtrack([
                "report", "--region", program.region, "--objects", "--output", path,
            ])
            program.go()
            return path
        }
        let (first, second) = (try save(at: "ready"), try save(at: "again"))
        #expect(try program.finish().isSuccess)
        let data = Data(try programs.memtrack(["diff", first, second, "--json"]).utf8)
        let document = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        let objects = try #require(document?["objects"] as? [String: Any])
        let types = try #require(objects["types"] as? [[String: Any]])
        let entry = try #require(types.first { $0["name"] as? String == "Entry" })
        let count = try #require(entry["count"] as? [String: Any])
        #expect(count["old"] as? Int == 100 && count["new"] as? Int == 1000)
    }
}
