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
              memtrack report --pid 4711         the tables of a running program
              memtrack report --region FILE      of one that was left behind
              memtrack clean                     remove what dead programs left
            """,
        version: "memtrack 0.1.0",
        subcommands: [ListCommand.self, ReportCommand.self, ExportCommand.self, CleanCommand.self])
}
