// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackSession

/// The one profile that a verb works on: a file, a region or a process.
struct SourceOptions: ParsableArguments {
    @Argument(help: .init("A profile written by memtrack-preload --output.", valueName: "file"))
    var file: String?

    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: .init("A process that runs, or the last one that had this PID.", valueName: "pid"))
    var pid: Int32?

    @Option(help: .init("A region file.", valueName: "file"))
    var region: String?

    @Option(help: .init("Take functions that match for allocation wrappers too.", valueName: "regex"))
    var allocFn: [String] = []

    func validate() throws {
        guard [file != nil, pid != nil, region != nil].filter({ $0 }).count == 1 else {
            throw ValidationError(
                "give one of FILE, --pid N and --region FILE; memtrack list shows what there is")
        }
        if let pid, pid <= 0 { throw ValidationError("\(pid) is no PID; memtrack list shows what there is") }
    }

    var source: ProfileSource {
        if let pid { return .pid(pid) }
        if let region { return .region(region) }
        return .file(file ?? "")
    }

    func wrappers() throws -> WrapperMatcher {
        WrapperMatcher(userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
    }

    /// Reads the profile; on a terminal, shows how far it is with naming functions.
    func load(showsProgress: Bool, withTypes: Bool = false) throws -> LoadedProfile {
        let progress = ProgressLine(isTerminal: showsProgress)
        return try source.load(wrappers: try wrappers(), withTypes: withTypes, progress: progress.update)
    }

    /// A file has the types that were looked at when it was saved.
    func validate(objects: Bool) throws {
        guard !objects || file == nil else {
            throw ValidationError("--objects looks at a process that runs; give --pid N instead of a file")
        }
    }
}
