// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackOptions
import MemtrackReport
import MemtrackSession

/// The command line of the launcher. What it does is in `Launcher`.
struct MemtrackPreload: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memtrack-preload",
        abstract: "Run an unmodified program and see what its memory is.",
        usage: "memtrack-preload [OPTIONS] PROGRAM [ARGS...]",
        discussion: """
            Counts every allocation of PROGRAM and its children by call stack and size, and shows the \
            call sites beside what the kernel says of the process: every --interval seconds, and when it has \
            ended, however it ends. Reports go to standard error; PROGRAM's own input, output, signals and exit \
            status are as without us.

            EXAMPLES:
              memtrack-preload ./bot                        a checkpoint every 30 seconds
              memtrack-preload -i 5 -l 20 ./bot --verbose   every 5 seconds, 20 rows
              memtrack-preload --sort growth ./server       what has grown lately
              memtrack-preload -o -i 5 python3 bot.py       the objects in its memory, by type
              memtrack-preload --type 'Cache|dict' ./bot    some types, and where they come from
              memtrack-preload --json out.json -q make -j2  the whole build, for a script
              memtrack-preload --no-objects ./static        procfs figures alone
            """,
        version: "memtrack-preload 0.1.0")

    @OptionGroup var checkpoints: CheckpointOptions

    @Flag(help: "With --objects: the interpreter's C frames where Python allocates, not Python's functions.")
    var native = false

    @Flag(help: "Preload nothing, neither sites nor objects: show procfs figures alone.")
    var noObjects = false

    @Option(
        parsing: .unconditional,
        help: .init("Most frames kept for a stack, 1 to 256; 1 is the call site alone.", valueName: "n"))
    var stackDepth: Int = 64

    @Option(
        help: .init(
            "Take the stack of one block in so many bytes on average (512K, 1M): cheaper; sites become estimates "
                + "with their error, and so does what is live of a size; the peak is too high. How much was "
                + "allocated of each size stays exact.",
            valueName: "bytes"))
    var sample: String?

    @Option(
        help: .init(
            "How stacks are taken: rules (fast) or libunwind (slow, for comparison).", valueName: "name"))
    var unwinder: String = "rules"

    @Flag(help: "Check every new stack against libunwind: slow, for those who doubt.")
    var verifyStacks = false

    @Flag(help: "Count PROGRAM alone, not its children.")
    var noChildren = false

    @Option(
        help: .init(
            "Programs that PROGRAM starts: inherit (counted if they get its environment), force (the "
                + "environment is put back where it was cleaned) or off.", valueName: "how"))
    var followExec: String = "inherit"

    @Flag(help: "Leave the regions in the session directory, for: memtrack report --region FILE.")
    var keep = false

    @OptionGroup var outputs: OutputOptions

    @Argument(
        parsing: .captureForPassthrough, help: .init("The program and its arguments.", valueName: "program"))
    var command: [String] = []

    mutating func run() throws {
        try refuseLeadingOption()
        if command.first == "--" { command.removeFirst() }
        guard !command.isEmpty else {
            throw ValidationError("no PROGRAM given; try: memtrack-preload ./program")
        }
        let plan = try plan()
        Launcher(plan: plan, words: command).run()
    }

    /// `captureForPassthrough` takes an option that is not known, and `--help`, for the program.
    private func refuseLeadingOption() throws {
        guard let first = command.first, first.hasPrefix("-"), first != "--" else { return }
        switch first {
        case "--help", "-h", "-help": throw CleanExit.helpRequest(self)
        case "--version": throw CleanExit.message(Self.configuration.version)
        case "--pid", "-p":
            throw ValidationError(
                "a process that runs is followed by another command; write: memtrack attach --pid N")
        default:
            throw ValidationError(
                "unknown option '\(first)'; for a program of that name write: memtrack-preload -- \(first)")
        }
    }

    private func plan() throws -> LaunchPlan {
        var plan = LaunchPlan()
        let asked = checkpoints.objects ? "--objects" : "--type"
        guard !noObjects || !checkpoints.wantsTypes else {
            throw ValidationError(
                "\(asked) and --no-objects contradict each other; give one of them"
            )
        }
        guard !native || checkpoints.wantsTypes else {
            throw ValidationError("--native says whose frames --objects shows, which is not given; give both")
        }
        try checkpoints.apply(to: &plan.monitor)
        plan.wrappers = try checkpoints.wrappers()
        guard (1...256).contains(stackDepth) else {
            throw ValidationError("--stack-depth \(stackDepth) is out of range; give 1 to 256")
        }
        guard unwinder == "rules" || unwinder == "libunwind" else {
            throw ValidationError("'\(unwinder)' is no unwinder; give rules or libunwind")
        }
        guard ["inherit", "force", "off"].contains(followExec) else {
            throw ValidationError("'\(followExec)' is no way to follow exec; give inherit, force or off")
        }
        var sampleBytes: UInt64 = 0
        if let sample {
            guard let bytes = ByteCount.parse(sample), bytes > 0, bytes <= 1 << 40 else {
                throw ValidationError(
                    "--sample '\(sample)' is no size; give bytes, such as 524288, 512K or 1M")
            }
            guard !checkpoints.wantsTypes else {
                throw ValidationError(
                    "\(asked) needs every object: it does not go with --sample")
            }
            sampleBytes = bytes
        }
        plan.settings = [
            ("MEMTRACK_SAMPLE", String(sampleBytes)),
            ("MEMTRACK_STACK_DEPTH", String(stackDepth)), ("MEMTRACK_UNWINDER", unwinder),
            ("MEMTRACK_VERIFY_STACKS", verifyStacks ? "1" : "0"),
            ("MEMTRACK_CHILDREN", noChildren ? "0" : "1"), ("MEMTRACK_FOLLOW_EXEC", followExec),
            ("MEMTRACK_OBJECTS", checkpoints.wantsTypes ? "1" : "0"),
            ("MEMTRACK_PYTHON_STACKS", native ? "0" : "1"),
        ]
        plan.countsObjects = !noObjects
        plan.monitor.keepsRegions = keep
        try outputs.apply(to: &plan.monitor) { .standard(directory: $0) }
        plan.outputs = outputs
        return plan
    }
}
