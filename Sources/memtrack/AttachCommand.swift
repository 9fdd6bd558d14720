// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc
import MemtrackLaunch
import MemtrackOptions
import MemtrackReport
import MemtrackSession

struct AttachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Follow a process that runs already: checkpoints, history, report.",
        discussion: """
            What memtrack-preload shows of a program that it starts, of one that was started with the library in \
            LD_PRELOAD, a service say: the first checkpoint at once, the next ones every --interval seconds, each with the \
            change since the last; a report when the process ends, or at Ctrl+C, after which it goes on. Nothing is \
            done to the process. Of one that runs without the library there are the figures of the kernel.

            EXAMPLES:
              memtrack attach --pid 4711                     every 30 seconds
              memtrack attach --pid 4711 -i 5 --sort growth  what grows comes first
              memtrack attach --pid 4711 -o -i 10            its objects by type, too
              memtrack attach --pid 4711 -q -i 60 &          the history alone
            """)

    @Option(name: .shortAndLong, parsing: .unconditional, help: .init("The process.", valueName: "pid"))
    var pid: Int32

    @OptionGroup var checkpoints: CheckpointOptions
    @OptionGroup var outputs: OutputOptions

    func validate() throws {
        if pid <= 0 { throw ValidationError("\(pid) is no PID; memtrack list shows what there is") }
    }

    func run() throws {
        let now = Moment.now
        var options = Monitor.Options()
        try checkpoints.apply(to: &options)
        try outputs.apply(to: &options) { .standard(directory: $0, watchedFrom: now.wall) }
        let wrappers = try checkpoints.wrappers()
        let attachment = try Attachment(pid: pid)
        let screen = outputs.screen(
            or: .standardOutput(environment: Variables.current), named: "standard output", complain: say)
        for note in attachment.notes { say("warning: \(note)") }
        // A report that nobody reads must not end the history.
        signal(SIGPIPE, SIG_IGN)
        try Monitor(
            process: attachment.process, start: attachment.start, clockOffset: attachment.clockOffset,
            attached: now,
            program: attachment.program, commandLine: attachment.commandLine,
            regions: attachment.regions, wrappers: wrappers, options: options, screen: screen,
            notes: attachment.notes, complain: say
        ).run()
    }

    private func say(_ text: String) { OutputFile.complain("memtrack: \(Escape.text(text))\n") }
}
