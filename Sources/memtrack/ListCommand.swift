// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackReport
import MemtrackSession

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the regions of living and dead processes.")

    @Flag(name: .shortAndLong, help: "List all that have ended, not only the newest.")
    var all = false

    @Flag(help: "Print JSON: an array of all regions.")
    var json = false

    private static let endedLimit = 20

    func run() throws {
        let screen = Screen.standardOutput(environment: Variables.current)
        let catalog = RegionCatalog()
        let found = catalog.entries(endedLimit: all || json ? .max : Self.endedLimit)
        if json {
            try screen.write(try RegionListText.json(found.shown))
        } else {
            try screen.write(
                RegionListText.render(
                    found.shown, hidden: found.hidden, lost: catalog.traces().count, layout: screen.layout))
        }
    }
}
