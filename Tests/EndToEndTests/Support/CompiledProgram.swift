// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A C++ program compiled for a test, run under the launcher, its profile saved.
struct ProfiledProgram {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// - Parameter sources: names in Tests/Fixtures/diff.
    func compile(_ name: String, _ sources: [String], _ flags: [String]) throws {
        let paths = sources.map { Build.root + "/Tests/Fixtures/diff/" + $0 }
        let run = try Command.run(["g++", "-std=c++17"] + flags + paths + ["-o", directory.file(name)])
        guard run.isSuccess else { throw HarnessError(run.errorText) }
    }

    /// Runs a program of the directory, or any other; the profile's path is the result.
    @discardableResult
    func profile(_ command: [String], as name: String, _ options: [String] = []) throws -> String {
        let path = directory.file(name + ".pb.gz")
        let own = directory.file(command[0])
        let program = FileManager.default.fileExists(atPath: own) ? own : command[0]
        let run = try Command.run(
            [try Build.launcher(), "-q", "--no-history", "--output", path] + options + [program]
                + command.dropFirst(), directory: directory.path)
        guard run.isSuccess, FileManager.default.fileExists(atPath: path) else {
            throw HarnessError("\(command): \(run.end) \(run.errorText)")
        }
        return path
    }

    func memtrack(_ arguments: [String], status: Int32 = 0) throws -> String {
        let run = try Command.run([try Build.reader()] + arguments, directory: directory.path)
        guard run.end == .exited(status) else {
            throw HarnessError("\(arguments): \(run.end) \(run.errorText)\(run.outputText)")
        }
        return run.outputText
    }

    /// The rows of a report in CSV without quotes, by column.
    func rows(_ arguments: [String]) throws -> [[String: String]] {
        let data = Data(try memtrack(arguments + ["--json"]).utf8)
        let rows = try JSONSerialization.jsonObject(with: data) as? [[String: Any]]
        return (rows ?? []).map { row in row.mapValues { "\($0)" } }
    }
}
