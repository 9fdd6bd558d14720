// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// The reader: looks at what the library has counted, while a program runs or after it.
struct Memtrack: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memtrack",
        abstract: "Look at the memory of programs that run, or ran, under memtrack-preload.",
        discussion: """
            EXAMPLES:
              memtrack list                      what there is to look at
              memtrack report bot.pb.gz          the tables of a saved profile
              memtrack diff old.pb.gz new.pb.gz  what differs between two builds
              memtrack report --pid 4711         the tables of a running program
              memtrack attach --pid 4711 -i 5    ... at checkpoints, until Ctrl+C
              memtrack objects --pid 4711        what its objects are, by type
              memtrack report --region FILE      of one that was left behind
              memtrack clean                     remove what dead programs left
            """,
        version: "memtrack 0.1.0",
        subcommands: [
            ListCommand.self, ReportCommand.self, AttachCommand.self, ObjectsCommand.self, DiffCommand.self,
            MergeCommand.self,
            ExportCommand.self, CleanCommand.self,
        ])
}
