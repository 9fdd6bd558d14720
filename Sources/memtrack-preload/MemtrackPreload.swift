// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import MemtrackProfile
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

    @Option(
        name: .shortAndLong, parsing: .unconditional,
        help: .init("Seconds between checkpoints; 0 for none. Fractions are allowed.", valueName: "seconds"))
    var interval: String = "30"

    @Option(
        name: [.customShort("l"), .long], parsing: .unconditional,
        help: .init("Rows of each table.", valueName: "n"))
    var objectLimit: Int = 10

    @Flag(
        name: .shortAndLong,
        help: .init(
            "Show what the live memory is, too: objects of Python, C++ and Swift by type, at each checkpoint; Python's by "
                + "Python function and line."))
    var objects = false

    @Option(
        help: .init(
            "Show only object types whose name matches, in JSON too; the saved profile has all. Implies --objects.",
            valueName: "regex"))
    var type: String?

    @Flag(help: "With --objects: the interpreter's C frames where Python allocates, not Python's functions.")
    var native = false

    @Flag(help: "Preload nothing, neither sites nor objects: show procfs figures alone.")
    var noObjects = false

    @Option(help: .init("Order of the sites: live, count, allocated, growth or peak.", valueName: "order"))
    var sort: String = "live"

    @Option(help: .init("Show only sites whose function, file or module matches.", valueName: "regex"))
    var filter: String?

    @Option(
        help: .init(
            "Take functions that match for allocation wrappers too; the site is their caller.",
            valueName: "regex"))
    var allocFn: [String] = []

    @Option(
        parsing: .unconditional,
        help: .init("Most frames kept for a stack, 1 to 256; 1 is the call site alone.", valueName: "n"))
    var stackDepth: Int = 64

    @Option(
        help: .init(
            "Take the stack of one block in so many bytes on average (512K, 1M): cheaper; sites become estimates "
                + "with their error. Allocations by size stay exact.", valueName: "bytes"))
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

    @Option(help: .init("Write the reports to a file instead of standard error.", valueName: "file"))
    var report: String?

    @Option(help: .init("Write the final report to a file as JSON.", valueName: "file"))
    var json: String?

    @Option(
        help: .init(
            """
            Save the final profile to a file that memtrack and pprof read. %p is the PID, %h the host, %e the \
            program, %t the start in seconds since 1970; with %c, the number of the checkpoint, one file for each. \
            Without this, it goes to the history.
            """, valueName: "file"))
    var output: String?

    @Option(help: .init("Directory of the history files.", valueName: "dir"))
    var historyDir: String = "data/memory_diagnostics"

    @Flag(help: "Write no history files.")
    var noHistory = false

    @Flag(name: .shortAndLong, help: "Print no reports.")
    var quiet = false

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
        default:
            throw ValidationError(
                "unknown option '\(first)'; for a program of that name write: memtrack-preload -- \(first)")
        }
    }

    private func plan() throws -> LaunchPlan {
        var plan = LaunchPlan()
        guard let seconds = Double(interval), seconds >= 0, seconds <= 1e9, seconds == 0 || seconds >= 0.01
        else {
            throw ValidationError(
                "'\(interval)' is no interval; give seconds, such as 5 or 0.5 (at least 0.01), or 0 for none")
        }
        plan.monitor.interval = seconds
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        guard !noObjects || (!objects && type == nil) else {
            throw ValidationError(
                "\(objects ? "--objects" : "--type") and --no-objects contradict each other; give one of them"
            )
        }
        plan.monitor.rows = min(objectLimit, 100_000)
        guard let order = SiteOrder(rawValue: sort) else {
            let known = SiteOrder.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("'\(sort)' is no order; give one of: \(known)")
        }
        plan.monitor.order = order
        do {
            plan.monitor.filter = try filter.map { try SiteFilter($0) }
            if objects || type != nil {
                plan.monitor.types = TypeTableText.Options(
                    limit: plan.monitor.rows, order: order, filter: try type.map { try TypeFilter($0) },
                    sites: type == nil ? 2 : 5)
            }
            plan.wrappers = WrapperMatcher(
                userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
        } catch {
            throw ValidationError("\(error)")
        }
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
            guard !objects && type == nil else {
                throw ValidationError(
                    "\(objects ? "--objects" : "--type") needs every object: it does not go with --sample")
            }
            sampleBytes = bytes
        }
        plan.settings = [
            ("MEMTRACK_SAMPLE", String(sampleBytes)),
            ("MEMTRACK_STACK_DEPTH", String(stackDepth)), ("MEMTRACK_UNWINDER", unwinder),
            ("MEMTRACK_VERIFY_STACKS", verifyStacks ? "1" : "0"),
            ("MEMTRACK_CHILDREN", noChildren ? "0" : "1"), ("MEMTRACK_FOLLOW_EXEC", followExec),
            ("MEMTRACK_OBJECTS", objects || type != nil ? "1" : "0"),
            ("MEMTRACK_PYTHON_STACKS", native ? "0" : "1"),
        ]
        plan.countsObjects = !noObjects
        plan.monitor.isQuiet = quiet
        plan.monitor.keepsRegions = keep
        plan.monitor.historyDirectory = noHistory ? nil : historyDir
        plan.monitor.jsonPath = json
        if let output {
            guard let naming = ProfileNaming(output) else {
                throw ValidationError(
                    "--output '\(output)' has a % that means nothing; use %p, %h, %e, %t or %c, and %% for a percent sign"
                )
            }
            plan.monitor.profileNaming = naming
            plan.monitor.profileIsAskedFor = true
        } else if !noHistory {
            plan.monitor.profileNaming = .standard(directory: historyDir)
        }
        plan.reportPath = report
        return plan
    }
}
