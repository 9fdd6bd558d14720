// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackReport
import MemtrackSession

struct CleanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clean", abstract: "Remove the regions of processes that have ended.",
        discussion: """
            Regions of running processes stay, and so does what a running launcher has not read yet. Those of another \
            version of memtrack go where no process has their PID. Files that are no regions, or cannot be read, are left \
            to you.
            """)

    @Flag(name: [.customShort("n"), .long], help: "Say what would be removed, and remove nothing.")
    var dryRun = false

    func run() throws {
        let catalog = RegionCatalog()
        let screen = Screen.standardOutput(environment: Variables.current)
        let found = catalog.removable()
        for entry in found {
            if !dryRun { try catalog.remove(entry) }
            try screen.write("\(dryRun ? "would remove" : "removed") \(Escape.text(entry.path))\n")
        }
        let traces = catalog.traces()
        if !dryRun {
            for path in traces { try catalog.removeTrace(path) }
            catalog.removeEmptySessions()
        }
        let bytes = found.reduce(0) { $0 &+ $1.residentBytes }
        let count = found.count == 1 ? "1 region" : "\(found.count) regions"
        try screen.write("\(count), \(FigureText.bytes(bytes))\n")
    }
}
