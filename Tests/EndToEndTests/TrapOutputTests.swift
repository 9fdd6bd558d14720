// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// What a program can say to a profiler is shown, and commands nothing: no terminal, no page, no parser. The fixture is
/// hostile.c.
@Suite struct TrapOutputTests {
    private static let evil = "\u{1b}]0;evil\u{7}\u{1b}[2J"

    private struct Told {
        var text: Data
        var json: Data
        var page: Data
        var history: Data
    }

    private func tell() throws -> Told {
        let place = try TemporaryDirectory()
        // Names of files cannot hold a slash.
        let bad = place.file(Self.evil + "<script>alert(2)<script>")
        let library = bad + ".so"
        try FileManager.default.copyItem(
            atPath: try Compiled.fixture(
                "plugin.c", as: "plugin-hostile", ["-O1", "-shared", "-fPIC", "-DPLUGIN=x", "-DROOM=64"]),
            toPath: library)
        // In the report and in the page the program's own path stands too.
        try FileManager.default.copyItem(
            atPath: try Compiled.fixture("hostile.c", ["-O1", "-rdynamic"]), toPath: bad)
        let (json, profile, page) = (
            place.file("report.json"), place.file("out.pb.gz"), place.file("out.html")
        )
        let finished = try Command.run([
            try Build.launcher(), "-i", "0", "--json", json, "--output", profile, "--history-dir",
            place.file("history"), bad, library, Self.evil + "</script>",
        ])
        #expect(finished.end == .exited(0), "\(finished.errorText)")
        #expect(finished.output.isEmpty)
        let exported = try Command.run([
            try Build.reader(), "export", profile, "--format", "html", "--output", page,
        ])
        #expect(exported.isSuccess, "\(exported.errorText)")
        let histories = (FileManager.default.enumerator(atPath: place.file("history"))?.allObjects ?? [])
            .compactMap { $0 as? String }.filter { $0.hasSuffix(".txt") || $0.hasSuffix(".log") }
        let history = histories.compactMap {
            FileManager.default.contents(atPath: place.file("history/" + $0))
        }
        return Told(
            text: finished.errors, json: try Data(contentsOf: URL(fileURLWithPath: json)),
            page: try Data(contentsOf: URL(fileURLWithPath: page)),
            history: history.reduce(Data(), +))
    }

    @Test func hostileNamesAndLabels() throws {
        let told = try tell()
        // Not a terminal: there is no colour, and so no escape of ours.
        for data in [told.text, told.history] {
            #expect(String(decoding: data, as: UTF8.self).contains("evil"))
            #expect(!data.contains { $0 < 0x20 && $0 != 0x0a || $0 == 0x7f })
        }
        let json = try JSONSerialization.jsonObject(with: told.json)
        #expect(String(describing: json).contains("evil"))
        #expect(!told.json.contains { $0 < 0x20 && $0 != 0x0a })
        // The page's own scripts and no others.
        let page = String(decoding: told.page, as: UTF8.self)
        #expect(page.contains("evil"))
        #expect(!page.contains("<script>alert"))
        #expect(!page.contains("\u{1b}"))
        let (opened, closed) = (
            page.components(separatedBy: "<script"), page.components(separatedBy: "</script")
        )
        #expect(opened.count == closed.count && opened.count < 10)
    }

    /// The reader of the program's output goes away: it dies of SIGPIPE, as it would without us, and is reported.
    @Test(.enabled(if: Command.has("bash")))
    func closedStandardOutput() throws {
        let script = "\"$@\" | head -n 1; echo \"${PIPESTATUS[0]}\""
        func run(_ prefix: [String]) throws -> Finished {
            try Command.run(["bash", "-c", script, "bash"] + prefix + ["yes", "out"])
        }
        let bare = try run([])
        let launched = try run([try Build.launcher(), "--no-history", "-i", "0"])
        #expect(bare.outputText == "out\n141\n")
        #expect(launched.outputText == bare.outputText)
        #expect(launched.errorText.contains("SIGPIPE"))
    }

    /// Our own data goes to a pipe that nobody reads any more: no trap, and no trace of one.
    @Test(.enabled(if: Command.has("bash")))
    func closedOutputOfTheReader() throws {
        let place = try TemporaryDirectory()
        let profile = place.file("out.pb.gz")
        #expect(
            try Command.run([try Build.launcher(), "-q", "--no-history", "--output", profile, "ls", "/"])
                .isSuccess)
        let finished = try Command.run([
            "bash", "-c", "\"$@\" | true; echo \"${PIPESTATUS[0]}\"", "bash", try Build.reader(), "export",
            profile,
            "--format", "html",
        ])
        let status = Int32(finished.outputText.trimmingCharacters(in: .whitespacesAndNewlines))
        #expect([0, 1, 141, 74].contains(status), "\(finished.outputText) \(finished.errorText)")
        #expect(!finished.errorText.contains("Fatal"))
    }

    /// What another user's process has left is not looked at; root may.
    @Test(.enabled(if: geteuid() == 0 && Command.has("setpriv")))
    func regionOfAnotherUser() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("endings.c", ["-O1"]), "exit"]).end == .exited(5))
        let file = try #require(session.files().first).path
        chmod(session.directory.path, 0o755)
        chmod(file, 0o644)
        let reader = try Build.reader()
        // The sources may lie where others cannot go.
        let copy = try TemporaryDirectory()
        chmod(copy.path, 0o755)
        try FileManager.default.copyItem(atPath: reader, toPath: copy.file("memtrack"))
        let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        let finished = try Command.run(nobody + [copy.file("memtrack"), "report", "--region", file])
        #expect(finished.end != .exited(0))
        #expect(
            finished.errorText.contains("user 0") || finished.errorText.contains("root"),
            "\(finished.errorText)")
        #expect(finished.output.isEmpty)
        #expect(try Command.run([reader, "report", "--region", file]).isSuccess)
    }
}
