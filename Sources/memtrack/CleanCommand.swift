// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackReport
import MemtrackSession

struct CleanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clean", abstract: "Remove the regions of processes that have ended.")

    @Flag(name: .shortAndLong, help: "Say what would be removed, and remove nothing.")
    var dryRun = false

    func run() throws {
        let screen = Screen.standardOutput(environment: Variables.current)
        var removed = 0
        var bytes: UInt64 = 0
        for entry in RegionCatalog().entries() where !entry.isAlive {
            if !dryRun { try RegionCatalog().remove(entry) }
            screen.show("\(dryRun ? "would remove" : "removed") \(Escape.text(entry.path))\n")
            removed += 1
            bytes += entry.residentBytes
        }
        screen.show("\(removed) region\(removed == 1 ? "" : "s"), \(FigureText.bytes(bytes))\n")
    }
}
