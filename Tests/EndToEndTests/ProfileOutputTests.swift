// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Saved profiles: where they go, and that others read the same figures in them.
@Suite struct ProfileOutputTests {
    private static let types = [
        "alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "peak_objects", "peak_space",
        "temporary_objects",
    ]

    @Test func isNamedByTheTemplate() throws {
        let programs = try ProfiledProgram()
        let run = try Command.run(
            [
                try Build.launcher(), "-q", "-i", "0.2", "--no-history", "--output", "%e-%p-%h-%t-%c%%.pb.gz",
                "sleep", "1",
            ], directory: programs.directory.path)
        #expect(run.isSuccess && run.errorText == "")
        let names = programs.directory.entries().filter { $0.hasSuffix(".pb.gz") }
        #expect(names.count >= 2, "\(programs.directory.entries())")
        for name in names {
            #expect(name.wholeMatch(of: /sleep-\d+-[\w.+-]+-\d{10}-\d+%\.pb\.gz/) != nil, "\(name)")
            // One companion each, and nothing temporary is left.
            #expect(programs.directory.entries().contains(name.dropLast(6) + ".json"))
        }
        #expect(programs.directory.entries().count == 2 * names.count)
    }

    @Test func aWrongTemplateAndAWrongPlaceAreSaid() throws {
        let launcher = try Build.launcher()
        let wrong = try Command.run([launcher, "--output", "x%q", "true"])
        #expect(wrong.end == .exited(64) && wrong.errorText.contains("--output 'x%q'"))
        let nowhere = try Command.run([
            launcher, "-q", "--no-history", "--output", "/no/such/x", "sh", "-c", "exit 3",
        ])
        #expect(nowhere.end == .exited(3))
        #expect(nowhere.errorText.contains("cannot write /no/such/x"))
    }

    /// A reader never sees half a file: while one is written, the old one stands.
    @Test func replacesWholeFiles() throws {
        let programs = try ProfiledProgram()
        let path = try programs.profile(["true"], as: "p")
        let before = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
        try programs.profile(["true"], as: "p")
        let after = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
        #expect(before != after)
        #expect(programs.directory.entries() == ["p.json", "p.pb.gz"])
    }

    @Test func theReportOfAFileIsTheReportOfTheRun() throws {
        let programs = try ProfiledProgram()
        let run = try Command.run(
            [
                try Build.launcher(), "--no-history", "--output", "p.pb.gz", "jq", "-n",
                "[range(1000)]|length",
            ],
            directory: programs.directory.path)
        let text = try programs.memtrack(["report", "p.pb.gz"])
        func tables(_ text: String) -> Substring {
            guard let from = text.firstRange(of: "Totals"), let to = text.firstRange(of: "\nNext") else {
                return ""
            }
            return text[from.lowerBound..<to.lowerBound]
        }
        #expect(tables(run.errorText).count > 1_000)
        #expect(tables(run.errorText) == tables(text))
    }

    /// Every function's own and total figures, of every type, to the byte.
    @Test(.enabled(if: Command.has("go"))) func pprofShowsTheSameFigures() throws {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["store_old.cc", "main_old.cc"], ["-O2", "-g"])
        for (name, command) in [("p", ["old"]), ("jq", ["jq", "-n", "[range(2000)|{a:.}]|length"])] {
            let path = try programs.profile(command, as: name)
            let rows = try programs.rows(["report", path, "--view", "functions", "--no-collapse"])
            for type in Self.types {
                var ours: [String: [Int]] = [:]
                for row in rows {
                    let own = Int(row["own_" + type] ?? "") ?? 0
                    let total = Int(row[type] ?? "") ?? 0
                    let sum = ours[row["function"] ?? ""] ?? [0, 0]
                    ours[row["function"] ?? ""] = [sum[0] + own, sum[1] + total]
                }
                ours = ours.filter { $0.value != [0, 0] }
                let theirs = try Self.pprof(path, type, []).filter { $0.value != [0, 0] }
                #expect(ours.count > 1 || type == "temporary_objects" || type.hasPrefix("inuse"))
                #expect(ours == theirs, "\(name) \(type)")
            }
        }
    }

    @Test(.enabled(if: Command.has("go"))) func pprofSeesTheSameDifference() throws {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["store_old.cc", "main_old.cc"], ["-O1", "-g"])
        try programs.compile("new", ["storage_new.cc", "main_new.cc"], ["-O1", "-g"])
        let old = try programs.profile(["old"], as: "old")
        let new = try programs.profile(["new"], as: "new")
        // pprof hides wrappers where it is told to; so the innermost function is the site.
        let theirs = try Self.pprof(
            new, "alloc_space", ["-diff_base=" + old, "-hide=^(void )?(std::|operator new|__gnu)"])
        let data = Data(try programs.memtrack(["diff", old, new, "--json"]).utf8)
        let diff = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        var ours: [String: Int] = [:]
        for row in diff["rows"] as? [[String: Any]] ?? [] {
            let figures = row["figures"] as? [String: [String: Any]]
            let change = figures?["alloc_space"]?["change"] as? Int ?? 0
            if change != 0 { ours[row["function"] as? String ?? "", default: 0] += change }
        }
        #expect(!ours.isEmpty)
        #expect(ours == theirs.mapValues { $0[0] }.filter { $0.value != 0 })
    }

    /// Callers and what comes through them, as the tree from the bottom up has it.
    @Test(.enabled(if: Command.has("go"))) func pprofPeeksAtTheSameCallers() throws {
        let programs = try ProfiledProgram()
        try programs.compile("old", ["store_old.cc", "main_old.cc"], ["-O0", "-g"])
        let path = try programs.profile(["old"], as: "p")
        let run = try Command.run([
            "go", "tool", "pprof", "-peek", "^scratch", "-unit=B", "-sample_index=alloc_space", path,
        ])
        let line = run.outputText.split(separator: "\n").first { $0.contains("|   query") }
        let theirs = line?.split(separator: " ").first?.dropLast()
        let rows = try programs.rows(["report", path, "--view", "callers", "--no-collapse"])
        let scratch = rows.first { $0["function"]?.hasPrefix("scratch") ?? false && $0["depth"] == "0" }
        let caller = rows.first {
            $0["parent"] == scratch?["row"] && $0["function"]?.hasPrefix("query") ?? false
        }
        #expect(caller?["alloc_space"] == "800000")
        #expect(theirs.map(String.init) == "800000", "\(run.outputText)")
    }

    @Test func pythonReadsTheMessage() throws {
        let programs = try ProfiledProgram()
        let path = try programs.profile(["jq", "-n", "[range(1000)]|length"], as: "p")
        let made = try Command.run([
            "protoc", "-I" + Build.root + "/Sources/MemtrackProfileFile",
            "--python_out=" + programs.directory.path, "profile.proto",
        ])
        try #require(made.isSuccess, "\(made.errorText)")
        let script = """
            import gzip, sys, profile_pb2
            p = profile_pb2.Profile()
            p.ParseFromString(gzip.open(sys.argv[1]).read())
            s = p.string_table
            assert s[0] == '' and s[p.default_sample_type] == 'inuse_space' and p.period == 1
            assert all(len(x.value) == 7 and s[x.label[0].key] == 'bytes' for x in p.sample)
            assert len(s[p.mapping[0].build_id]) == 40 and any(m.has_functions for m in p.mapping)
            print(' '.join(s[t.type] for t in p.sample_type))
            print(' '.join(str(sum(x.value[i] for x in p.sample)) for i in range(7)))
            """
        let run = try Command.run(
            ["/usr/bin/python3", "-c", script, path], environment: ["PYTHONPATH": programs.directory.path])
        try #require(run.isSuccess, "\(run.errorText)")
        let lines = run.outputText.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines[0] == Self.types)
        let data = Data(try programs.memtrack(["report", path, "--json"]).utf8)
        let totals = try JSONDecoder().decode(Report.self, from: data).totals
        #expect(lines[1].first == totals.map { "\($0.allocations)" })
        #expect(lines[1][5] == totals.map { "\($0.peakBytes)" })
    }

    @Test func mergedProfilesAreTheirSum() throws {
        let programs = try ProfiledProgram()
        let one = try programs.profile(["jq", "-n", "1"], as: "one")
        let two = try programs.profile(["sort", "/etc/passwd"], as: "two")
        _ = try programs.memtrack(["merge", one, two, "--output", "sum.pb.gz"])
        func sum(_ path: String) throws -> [Int] {
            let rows = try programs.rows(["report", path, "--view", "modules"])
            return Self.types.map { type in rows.reduce(0) { $0 + (Int($1[type] ?? "") ?? 0) } }
        }
        let (first, second) = (try sum(one), try sum(two))
        #expect(try sum("sum.pb.gz") == zip(first, second).map { $0 + $1 })
    }

    /// Own and total of each function, as `-top` prints them.
    private static func pprof(_ path: String, _ type: String, _ options: [String]) throws -> [String: [Int]] {
        let unit = type.hasSuffix("space") ? "B" : "count"
        let run = try Command.run(
            [
                "go", "tool", "pprof", "-top", "-nodecount=1000000", "-nodefraction=0", "-edgefraction=0",
                "-unit=" + unit, "-sample_index=" + type,
            ] + options + [path])
        guard run.isSuccess else { throw HarnessError(run.errorText) }
        var result: [String: [Int]] = [:]
        let pattern = /^\s*(-?\d+)\w*\s+\S+\s+\S+\s+(-?\d+)\w*\s+\S+\s+(.*?)( \((?:partial-)?inline\))?$/
        for line in run.outputText.split(separator: "\n") {
            guard let match = line.wholeMatch(of: pattern) else { continue }
            result[String(match.3)] = [Int(match.1) ?? -1, Int(match.2) ?? -1]
        }
        return result
    }
}
