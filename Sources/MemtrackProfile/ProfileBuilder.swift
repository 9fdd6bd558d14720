// SPDX-License-Identifier: Apache-2.0
public import MemtrackRegion
public import MemtrackSymbols

/// Turns snapshots into profiles: symbolizes each address once, finds call sites, adds up cells.
///
/// One builder serves all processes of a session, and all their checkpoints: a library shared by a
/// hundred processes is symbolized once. Not thread-safe, hence not `Sendable`.
public final class ProfileBuilder {
    /// Frames at an address of a file, innermost first, inlined ones included; empty if nothing is known.
    public typealias Symbolize = (_ file: CodeFile, _ address: UInt64) -> [SourceFrame]
    /// Name of code made at run time, by its address in the target: what a perf map says.
    public typealias RuntimeName = (_ address: UInt64) -> String?
    /// Called before each address that has to be symbolized, and once at the end.
    public typealias Progress = (_ done: Int, _ total: Int) -> Void

    private struct CodeAddress {
        /// Place in `files`, plus one.
        var file: Int
        var address: UInt64
        /// What `codes` has for it.
        var code: UInt32
    }

    private let symbolize: Symbolize
    private var interner: StackInterner
    private var fileNumbers: [CodeFile: Int] = [:]
    private var files: [CodeFile] = []
    /// Of these, by number, the code objects of CPython.
    private var pythonFiles: Set<Int> = []
    /// Code numbers of addresses by file; `frames` is indexed by them.
    private var codes = AddressTable()
    /// Frames of a code number, outermost first: the order in which a stack is built up. 0 is none.
    private var frameRanges: [Range<UInt32>] = [0..<0]
    private var frames: [FrameID] = []
    /// The stack of (caller's stack, code number).
    private var steps = AddressTable()

    public init(wrappers: WrapperMatcher = WrapperMatcher(), symbolize: @escaping Symbolize) {
        interner = StackInterner(wrappers: wrappers)
        self.symbolize = symbolize
    }

    /// Symbolized addresses so far.
    public var symbolizedCount: Int { frameRanges.count - 1 }

    /// Names of all stacks so far. Who keeps it makes the builder copy it when it next adds to it.
    public var table: StackTable {
        interner.rank()
        return interner.table
    }

    /// The profile of one process image.
    ///
    /// The snapshot may come from a hostile file: references that lead nowhere end the stack.
    public func profile(
        of snapshot: RegionSnapshot, runtimeName: RuntimeName = { _ in nil },
        progress: Progress = { _, _ in }
    ) -> Profile {
        var memory = NodeStacks()
        return profile(of: snapshot, memory: &memory, runtimeName: runtimeName, progress: progress)
    }

    /// The same for an image that is looked at again and again: what its memory holds is not done twice.
    public func profile(
        of snapshot: RegionSnapshot, memory: inout NodeStacks, runtimeName: RuntimeName = { _ in nil },
        progress: Progress = { _, _ in }
    ) -> Profile {
        intern(snapshot, memory: &memory, runtimeName: runtimeName, progress: progress)
        var accumulator = ProfileAccumulator(capacity: min(snapshot.cells.count, interner.table.count))
        add(snapshot, stacks: memory.latest, to: &accumulator)
        accumulator.adopt(table)
        return accumulator.profile
    }

    /// Adds what an image has counted to the sum of others, without a profile of its own.
    ///
    /// The sum gets no table, which it would share with the builder: `ProfileAccumulator.adopt` gives it one.
    /// - Parameter settled: nothing of it is live, see `Profile.settled`.
    /// - Returns: what the image has counted, all stacks together, as it stood at its end.
    public func fold(
        _ snapshot: RegionSnapshot, memory: inout NodeStacks, into sum: inout ProfileAccumulator,
        settled: Bool = false,
        runtimeName: RuntimeName = { _ in nil }, progress: Progress = { _, _ in }
    ) -> Counters {
        intern(snapshot, memory: &memory, runtimeName: runtimeName, progress: progress)
        return add(snapshot, stacks: memory.latest, settled: settled, to: &sum)
    }

    /// Brings `memory.latest` up to date.
    private func intern(
        _ snapshot: RegionSnapshot, memory: inout NodeStacks, runtimeName: RuntimeName, progress: Progress
    ) {
        guard let needed = memory.missing(in: snapshot) else {
            memory.latest = memory.stacks
            return
        }
        let codes = codeNumbers(snapshot, needed: needed, progress: progress)
        memory.latest = internStacks(
            snapshot, needed: needed, memory: &memory, codes: codes, runtimeName: runtimeName)
    }

    /// The code number of each needed node; 0 for code made at run time. Symbolizes what is new.
    private func codeNumbers(
        _ snapshot: RegionSnapshot, needed: [Bool], progress: Progress
    ) -> [UInt32] {
        var numbers = [Int](repeating: 0, count: Int(UInt16.max) + 1)
        for (index, module) in snapshot.modules {
            let number = fileNumber(CodeFile(path: module.path, buildID: module.buildID))
            numbers[Int(index)] = number
            if module.isPython { pythonFiles.insert(number) }
        }
        var result = [UInt32](repeating: 0, count: snapshot.nodes.count)
        var missing: [CodeAddress] = []
        for (id, node) in snapshot.nodes.enumerated() {
            guard let node, needed[id], let index = node.module, let module = snapshot.modules[index] else {
                continue
            }
            let file = numbers[Int(index)]
            // A return address may be the first one of the next function, or of the next line.
            let lookup = node.isSignalFrame || module.isPython ? node.address : node.address &- 1
            let address = module.isPython ? lookup : lookup &- module.bias
            var code = codes.number(address, UInt32(truncatingIfNeeded: file))
            if code == 0 {
                code = UInt32(frameRanges.count)
                frameRanges.append(0..<0)
                codes.set(code, address, UInt32(truncatingIfNeeded: file))
                missing.append(CodeAddress(file: file, address: address, code: code))
            }
            result[id] = code
        }
        symbolize(missing, progress: progress)
        return result
    }

    private func fileNumber(_ file: CodeFile) -> Int {
        if let number = fileNumbers[file] { return number }
        files.append(file)
        fileNumbers[file] = files.count
        return files.count
    }

    private func symbolize(_ missing: [CodeAddress], progress: Progress) {
        if missing.isEmpty { return }
        // File by file, so that the symbolizer works on one at a time.
        let ordered = missing.sorted { ($0.file, $0.address) < ($1.file, $1.address) }
        for (done, address) in ordered.enumerated() {
            progress(done, ordered.count)
            let start = UInt32(frames.count)
            frames += frames(at: address)
            frameRanges[Int(address.code)] = start..<UInt32(frames.count)
        }
        progress(ordered.count, ordered.count)
    }

    private func frames(at address: CodeAddress) -> [FrameID] {
        let file = files[address.file - 1]
        if pythonFiles.contains(address.file) {
            return [interner.frame(Self.pythonFrame(file.path, line: address.address))]
        }
        // The shim's own frames, where CPython's allocator is wrapped, say nothing.
        if Frame.baseName(file.path) == "libmemtrack_preload.so" { return [] }
        let found = symbolize(file, address.address)
        let frames = found.map { frame in
            guard let function = frame.function, !function.isEmpty else {
                return unnamed(file, address.address, source: frame)
            }
            return Frame(function: function, file: frame.file, line: frame.line, module: file.path)
        }
        return (frames.isEmpty ? [unnamed(file, address.address, source: nil)] : frames)
            .reversed().map { interner.frame($0) }
    }

    /// - Parameter code: function and file of a code object, with a newline in between.
    private static func pythonFrame(_ code: String, line: UInt64) -> Frame {
        let parts = code.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            .map(String.init)
        let file = parts.count > 1 && !parts[1].isEmpty ? parts[1] : nil
        return Frame(
            function: parts[0].isEmpty ? "?" : parts[0], file: file,
            line: line > 0 && line <= UInt64(Int32.max) ? Int(line) : nil, module: file ?? "")
    }

    /// `module+0xoffset`: the offset is the one looked up, so it can be given to addr2line as it is.
    private func unnamed(_ file: CodeFile, _ address: UInt64, source: SourceFrame?) -> Frame {
        let name = Frame.baseName(file.path)
        let offset = "0x" + String(address, radix: 16)
        return Frame(
            function: (name.isEmpty ? "?" : name) + "+" + offset, file: source?.file, line: source?.line,
            module: file.path, kind: .address)
    }

    /// The stack of each needed or remembered node; 0 for all others.
    private func internStacks(
        _ snapshot: RegionSnapshot, needed: [Bool], memory: inout NodeStacks, codes: [UInt32],
        runtimeName: RuntimeName
    ) -> [StackID] {
        memory.grow(to: snapshot.nodes.count)
        var stacks = memory.stacks
        for id in snapshot.nodes.indices where needed[id] {
            guard let node = snapshot.nodes[id] else { continue }
            let code = codes[id]
            var stack: StackID = 0
            if node.parent > 0 && node.parent < id {
                stack = stacks[Int(node.parent)]
            } else if node.isTruncated {
                stack = interner.stack(of: BuiltInFrame.truncated)
            } else if node.isIncomplete {
                stack = interner.stack(of: BuiltInFrame.incomplete)
            }
            if code > 0 {
                stack = step(from: stack, to: code)
            } else {
                let frame = Self.runtimeFrame(node, runtimeName: runtimeName)
                stack = interner.stack(parent: stack, frame: interner.frame(frame))
            }
            stacks[id] = stack
            if code > 0 { memory.remember(stack, of: id, node) }
        }
        return stacks
    }

    /// The stack that goes on from a caller's into the code of an address.
    private func step(from caller: StackID, to code: UInt32) -> StackID {
        let isNew = interner.isNewest(caller)
        let known = isNew ? 0 : steps.number(UInt64(caller) << 32 | UInt64(code), 0)
        if known != 0 { return known }
        var stack = caller
        let range = frameRanges[Int(code)]
        for place in range {
            let frame = frames[Int(place)]
            stack = interner.stack(parent: stack, frame: frame, isInlined: place > range.lowerBound)
        }
        // The shim's own code has no frames, and an empty stack no number. What comes once is not looked for again.
        if stack != 0 && !isNew { steps.set(stack, UInt64(caller) << 32 | UInt64(code), 0) }
        return stack
    }

    private static func runtimeFrame(_ node: RegionNode, runtimeName: RuntimeName) -> Frame {
        let address = node.isSignalFrame ? node.address : node.address &- 1
        if let name = runtimeName(address), !name.isEmpty { return Frame(function: name) }
        return Frame(function: "0x" + String(node.address, radix: 16), kind: .address)
    }

    @discardableResult
    private func add(
        _ snapshot: RegionSnapshot, stacks: [StackID], settled: Bool = false, to sum: inout ProfileAccumulator
    ) -> Counters {
        let builtIn: [RegionCellKind: StackID] = [
            .overflow: interner.stack(of: BuiltInFrame.regionFull),
            .reentrant: interner.stack(of: BuiltInFrame.signalHandler),
            .noStack: interner.stack(of: BuiltInFrame.noStack),
        ]
        var totals = Counters()
        // What a child frees of its parent's is in `health` alone: it made none of it, and cannot have less than nothing.
        for cell in snapshot.cells where cell.kind != .inherited {
            var stack: StackID = 0
            if cell.kind == .site {
                if Int(cell.stack) < stacks.count { stack = stacks[Int(cell.stack)] }
                // The record was handed out and not filled yet, or the file is damaged.
                if stack == 0 { stack = builtIn[.noStack] ?? 0 }
            } else {
                stack = builtIn[cell.kind] ?? 0
            }
            sum.add(
                stack: stack, sizeClass: cell.sizeClass, settled ? cell.counters.settled : cell.counters)
            totals += cell.counters
        }
        var shim = ShimFigures()
        shim.health = snapshot.health
        shim.regionBytes = snapshot.regionBytes
        shim.privateBytes = snapshot.privateBytes
        shim.threadsSeen = snapshot.threadsSeen
        shim.walks = snapshot.walks
        shim.fullWalks = snapshot.fullWalks
        shim.pythonBefore = snapshot.pythonBefore
        shim.stackDepth = snapshot.stackDepth
        shim.damagedRecords = snapshot.damagedRecords
        if case .stopped = snapshot.state { shim.stopped = 1 }
        let moment = snapshot.peakMonotonicNanoseconds
        sum.take(
            modules: modules(of: snapshot), shim: shim, sampling: sampling(of: snapshot),
            slackBytes: snapshot.peakSlackBytes,
            peakMoment: moment == 0 ? nil : moment)
        return totals
    }

    private func sampling(of snapshot: RegionSnapshot) -> Sampling? {
        guard snapshot.sampleBytes > 0 else { return nil }
        return Sampling(
            periodBytes: snapshot.sampleBytes,
            exact: snapshot.exactClasses.map {
                SizeClassShare(sizeClass: $0.sizeClass, counters: $0.counters)
            })
    }

    /// The program's own file first.
    private func modules(of snapshot: RegionSnapshot) -> [ProfileModule] {
        let all = snapshot.modules.filter { !$0.value.isPython }.sorted { $0.key < $1.key }.map {
            ProfileModule(path: $0.value.path, buildID: $0.value.buildID)
        }
        let own = all.filter { $0.path == snapshot.identity.executable }
        return own + all.filter { $0.path != snapshot.identity.executable }
    }
}
