// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What `memtrack objects --json` says, by the names that the documentation gives.
struct TypeAnswer: Decodable {
    struct Kind: Decodable {
        var runtime: String?
        var name: String
        var count: Int
        var bytes: Int
        var ownedBlocks: Int
        var ownedBytes: Int
        var trackedCount: Int

        var total: Int { bytes + ownedBytes }
    }

    struct Objects: Decodable {
        var bytes: Int
        var blocks: Int
        var changedBlocks: Int
        var elapsedSeconds: Double
        var problems: [String]
    }

    var types: [Kind]
    var objects: Objects

    func count(_ name: String) -> Int { types.filter { $0.name == name }.reduce(0) { $0 + $1.count } }
    func total(_ name: String) -> Int { types.filter { $0.name == name }.reduce(0) { $0 + $1.total } }
}

/// A program under the library that stops at points of its own choice: it prints a line that begins with a word we wait
/// for, and reads a byte from standard input before it goes on.
final class Stepped {
    let session: Session
    let running: Running
    private let place: TemporaryDirectory
    private var writer: Int32

    /// - Parameter session: one that others may be in, too; nil for one of its own.
    init(_ command: [String], _ variables: [String: String] = [:], in session: Session? = nil) throws {
        self.session = try session ?? Session()
        place = try TemporaryDirectory()
        let pipe = place.file("pipe")
        guard mkfifo(pipe, 0o600) == 0 else { throw HarnessError("mkfifo failed, errno \(errno)") }
        // The shell becomes the program, which waits for the writer's end.
        running = try Running(
            ["sh", "-c", "exec \"$@\" <\"$0\"", pipe] + command,
            environment: try self.session.environment(variables))
        writer = open(pipe, O_WRONLY)
        guard writer >= 0 else { throw HarnessError("open failed, errno \(errno)") }
    }

    deinit { if writer >= 0 { close(writer) } }

    /// Waits for a line that begins with a word, and returns the rest of it.
    func line(_ word: String) throws -> String {
        let deadline = Date(timeIntervalSinceNow: 60)
        while Date() < deadline {
            let lines = running.output().split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = lines.first(where: { $0.hasPrefix(word) }) {
                return String(line.dropFirst(word.count))
            }
            usleep(10_000)
        }
        throw HarnessError("no '\(word)': \(running.output()) \(running.errors())")
    }

    /// Lets the program go on from where it has stopped.
    func go() { write(writer, "\n", 1) }

    /// Lets it go on to its end, and waits for that: there is no more input.
    func finish() throws -> Finished {
        go()
        close(writer)
        writer = -1
        return try running.wait()
    }

    var region: String {
        let name = session.directory.entries().last { $0.contains("-\(running.pid)-") } ?? "none"
        return session.directory.file(name)
    }

    /// What the reader says before and after a population is made, and what the program itself says of it: it stops at `ready`
    /// and `made`, and prints `truth` with figures by name.
    static func population(
        _ command: [String], _ variables: [String: String]
    ) throws -> (before: TypeAnswer, after: TypeAnswer, truth: [String: [Int]]) {
        let program = try Stepped(command, variables)
        _ = try program.line("ready")
        let before = try program.types()
        program.go()
        _ = try program.line("made")
        let after = try program.types()
        program.go()
        let line = try program.line("truth")
        let finished = try program.finish()
        guard finished.isSuccess else { throw HarnessError("\(finished.end): \(finished.errorText)") }
        return (before, after, try JSONDecoder().decode([String: [Int]].self, from: Data(line.utf8)))
    }

    /// The reader's word for what the program has at this point.
    func look(_ arguments: [String] = ["--json"]) throws -> Finished {
        try Command.run([try Build.reader(), "objects", "--region", region] + arguments)
    }

    func types() throws -> TypeAnswer {
        let looked = try look()
        guard looked.isSuccess else { throw HarnessError(looked.errorText) }
        return try JSONDecoder().decode(TypeAnswer.self, from: looked.output)
    }
}
