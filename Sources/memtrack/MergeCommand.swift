// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
import MemtrackReport
import MemtrackSession

struct MergeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Make one profile of many: of hosts, children or runs.",
        discussion: """
            Counters are added up. So are peaks, which need not have been at one time: their sum is an upper bound.

            EXAMPLES:
              memtrack merge host1.pb.gz host2.pb.gz --output fleet.pb.gz
              memtrack merge data/memory_diagnostics/*.pb.gz -o all.pb.gz && memtrack report all.pb.gz
            """)

    @Argument(help: .init("Saved profiles, or regions.", valueName: "file"))
    var files: [String] = []

    @Option(name: .shortAndLong, help: .init("Where the merged profile goes.", valueName: "file"))
    var output: String

    func validate() throws {
        guard !files.isEmpty else {
            throw ValidationError("give the profiles to merge; see memtrack merge --help")
        }
    }

    func run() throws {
        let profiles = try files.map { try ProfileSource.file($0).load(wrappers: WrapperMatcher()) }
        guard let merged = LoadedProfile.merged(profiles, name: output) else { return }
        try SavedProfile.write(merged, to: output)
        let screen = Screen.standardOutput(environment: Variables.current)
        let count = profiles.count == 1 ? "1 profile" : "\(profiles.count) profiles"
        try screen.write("\(count) merged into \(Escape.text(output))\n")
    }
}
