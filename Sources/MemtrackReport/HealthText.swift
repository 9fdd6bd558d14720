// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What was lost, what that means for the figures and what can be done about it, in words. Only what a reader should
/// know.
enum HealthText {
    static func sentences(_ shim: ShimFigures, totals: Counters) -> [String] {
        let health = shim.health
        var result: [String] = []
        func add(_ count: UInt64, _ text: (String) -> String) {
            if count > 0 { result.append(text(FigureText.count(count))) }
        }
        if shim.stopped > 0 {
            result.append(
                "Counting stopped early in \(FigureText.plural(UInt64(shim.stopped), "process", "processes")): "
                    + "its figures end there.")
        }
        add(health.regionRefusals) {
            "The system refused memory for the counters \($0) times (a small or full /dev/shm, or a limit): "
                + "later allocations count under (region full). Make room there (df /dev/shm; memtrack clean; in a "
                + "container --shm-size), raise ulimit -f and -v, or take fewer stacks with --sample or --stack-depth."
        }
        if health.foreignMalloc > 0 {
            let processes = FigureText.plural(
                health.foreignMalloc, "process has a malloc of its own",
                "processes have a malloc of their own")
            result.append(
                "\(processes), or that of a library preloaded before memtrack's: what it does not "
                    + "pass on is not counted. Preload memtrack's first; an allocator that is linked into a program "
                    + "cannot be seen.")
        }
        if health.confined > 0 {
            result.append(
                "The program forbade itself system calls that counting needs (seccomp): what has no room from then on "
                    + "counts under (region full), and new threads without stacks. All is counted where the filter "
                    + "allows madvise and mmap.")
        }
        if health.uncountedAllocations > 0 {
            let allocations = FigureText.plural(health.uncountedAllocations, "allocation", "allocations")
            result.append(
                "\(allocations) (\(FigureText.bytes(health.uncountedBytes))) could not be counted at all for want of "
                    + "memory: in no figure of this report. /dev/shm and the limits of the program (ulimit -a) say why."
            )
        }
        add(UInt64(clamping: shim.damagedRecords)) {
            "\($0) records of the region are damaged and were left out: the program may have overwritten them, as "
                + "stray writes do. valgrind or -fsanitize=address find these."
        }
        add(health.overflowCells) {
            "\($0) allocations found the table of sites full: sizes are exact, their sites are unknown. --stack-depth "
                + "with a smaller number makes fewer sites, --sample too."
        }
        add(health.overflowNodes) {
            "\($0) stacks found the table of stacks full and were not recorded: they are in (region full). "
                + "--stack-depth with a smaller number makes fewer, --sample too."
        }
        add(health.sharedBankCalls) {
            "\($0) calls came from threads without counters of their own (more than 1,023 threads, or no room): "
                + "sizes are exact, allocations are in (stack not taken)."
        }
        add(health.untrackedBlocks) {
            "\($0) blocks (\(FigureText.bytes(health.untrackedBytes))) could not be followed: they count as "
                + "allocated and freed at once, so live figures miss them. The program ran out of memory or address "
                + "space (ulimit -v)."
        }
        add(health.lostModules) {
            "\($0) places in code belong to libraries that found the table of modules full: they have addresses, no "
                + "names, and what was recorded before has both."
        }
        add(health.lostPythonStacks) {
            "\($0) allocations by Python functions that found the table of functions full: C frames stand for these; "
                + "types and sizes are right."
        }
        add(health.truncatedStacks) {
            "\($0) stacks are deeper than \(shim.stackDepth) frames: their outermost callers are missing. "
                + "--stack-depth N takes more."
        }
        add(health.incompleteStacks) {
            "\($0) stacks end early, in code without unwind information: sites are right, callers are missing. They "
                + "are there where such code keeps frame pointers (java: -XX:+PreserveFramePointer)."
        }
        add(health.foreignStacks) {
            "\($0) allocations ran on stacks that are not their thread's (coroutines): callers may be missing."
        }
        add(health.reentrant) {
            "\($0) calls came from signal handlers that interrupted counting: they are in (signal handler)."
        }
        add(health.childrenLost) {
            "\($0) forked \(health.childrenLost == 1 ? "child" : "children") could not be counted: no region "
                + "could be made, for want of room in /dev/shm, or of the right to write there (another user's since, or another root)."
        }
        // The loader and early constructors always leave a few.
        if health.unknownFrees > max(100, totals.frees / 1_000) {
            add(health.unknownFrees) {
                "\($0) blocks were freed that had not been seen allocated: made before counting began, or by "
                    + "an allocator that is not counted. No other figure is touched."
            }
        }
        add(health.lostMarkers) {
            "\($0) markers found no room, or came too fast to be shown."
        }
        add(health.lostGauges) { "\($0) gauges found no room: 64 names have it." }
        if health.verifiedStacks > 0 {
            let wrong = health.verifyMismatches
            result.append(
                "\(FigureText.count(health.verifiedStacks)) stacks were compared with libunwind: "
                    + (wrong == 0
                        ? "all equal" : "\(FigureText.count(wrong)) DIFFERENT (a defect: please report it)")
                    + (health.verifySkipped > 0
                        ? ", \(FigureText.count(health.verifySkipped)) not comparable." : "."))
        }
        return result
    }

    /// What the profiler itself took, in one line.
    static func ownMemory(_ shim: ShimFigures, resident: UInt64?, processes: Int) -> String {
        let mapped =
            FigureText.bytes(shim.regionBytes) + " of counters, "
            + FigureText.bytes(shim.privateBytes) + " of private memory mapped"
            + (processes > 1 ? " in \(FigureText.count(Int64(processes))) processes, not all at once" : "")
        guard let resident else {
            // A file without its companion: the library cannot work without a region.
            let isKnown = shim.regionBytes > 0 || shim.privateBytes > 0
            return "memtrack's own memory: \(isKnown ? mapped : "not known")."
        }
        return
            "memtrack's own memory: \(FigureText.bytes(resident)) resident, not in the figures above (\(mapped))."
    }
}
