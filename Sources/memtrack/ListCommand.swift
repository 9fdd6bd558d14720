// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackReport
import MemtrackSession

struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the regions of living and dead processes.")

    @Flag(help: "Print JSON, one object a region.")
    var json = false

    func run() throws {
        let screen = Screen.standardOutput(environment: Variables.current)
        let found = RegionCatalog().entries()
        if json {
            screen.show(try RegionListText.json(found))
        } else {
            screen.show(RegionListText.render(found, layout: screen.layout))
        }
    }
}
