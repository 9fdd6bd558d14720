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

    private struct CodeAddress: Hashable {
        /// Place in `files`, plus one; 0 for code made at run time.
        var file: Int
        var address: UInt64
    }

    private let symbolize: Symbolize
    private var interner: StackInterner
    private var fileNumbers: [CodeFile: Int] = [:]
    private var files: [CodeFile] = []
    /// Of these, by number, the code objects of CPython.
    private var pythonFiles: Set<Int> = []
    /// Frames of an address, outermost first: the order in which a stack is built up.
    private var known: [CodeAddress: [FrameID]] = [:]

    public init(wrappers: WrapperMatcher = WrapperMatcher(), symbolize: @escaping Symbolize) {
        interner = StackInterner(wrappers: wrappers)
        self.symbolize = symbolize
    }

    /// Symbolized addresses so far.
    public var symbolizedCount: Int { known.count }

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
        guard let needed = memory.missing(in: snapshot) else {
            memory.latest = memory.stacks
            return accumulate(snapshot, stacks: memory.stacks)
        }
        let addresses = codeAddresses(snapshot, needed: needed)
        symbolizeMissing(addresses, snapshot: snapshot, progress: progress)
        let stacks = internStacks(
            snapshot, needed: needed, memory: &memory, addresses: addresses, runtimeName: runtimeName)
        memory.latest = stacks
        return accumulate(snapshot, stacks: stacks)
    }

    /// Where each needed node's code is in its file.
    private func codeAddresses(_ snapshot: RegionSnapshot, needed: [Bool]) -> [CodeAddress?] {
        var numbers: [UInt16: Int] = [:]
        for (index, module) in snapshot.modules {
            numbers[index] = fileNumber(CodeFile(path: module.path, buildID: module.buildID))
        }
        return snapshot.nodes.enumerated().map { id, node in
            guard let node, needed[id] else { return nil }
            // A return address may be the first one of the next function, or of the next line.
            var lookup = node.isSignalFrame ? node.address : node.address &- 1
            guard let index = node.module, let module = snapshot.modules[index],
                let number = numbers[index]
            else { return CodeAddress(file: 0, address: lookup) }
            if module.isPython {
                pythonFiles.insert(number)
                lookup = node.address
            }
            return CodeAddress(file: number, address: lookup &- module.bias)
        }
    }

    private func fileNumber(_ file: CodeFile) -> Int {
        if let number = fileNumbers[file] { return number }
        files.append(file)
        fileNumbers[file] = files.count
        return files.count
    }

    private func symbolizeMissing(
        _ addresses: [CodeAddress?], snapshot: RegionSnapshot, progress: Progress
    ) {
        var missing: Set<CodeAddress> = []
        for case let address? in addresses where address.file > 0 && known[address] == nil {
            missing.insert(address)
        }
        if missing.isEmpty { return }
        // File by file, so that the symbolizer works on one at a time.
        let ordered = missing.sorted { ($0.file, $0.address) < ($1.file, $1.address) }
        for (done, address) in ordered.enumerated() {
            progress(done, ordered.count)
            known[address] = frames(at: address)
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
        _ snapshot: RegionSnapshot, needed: [Bool], memory: inout NodeStacks, addresses: [CodeAddress?],
        runtimeName: RuntimeName
    ) -> [StackID] {
        memory.grow(to: snapshot.nodes.count)
        var stacks = memory.stacks
        for id in snapshot.nodes.indices where needed[id] {
            guard let node = snapshot.nodes[id], let address = addresses[id] else { continue }
            var stack: StackID = 0
            if node.parent > 0 && node.parent < id {
                stack = stacks[Int(node.parent)]
            } else if node.isTruncated {
                stack = interner.stack(of: BuiltInFrame.truncated)
            } else if node.isIncomplete {
                stack = interner.stack(of: BuiltInFrame.incomplete)
            }
            if address.file > 0, let frames = known[address] {
                for (depth, frame) in frames.enumerated() {
                    stack = interner.stack(parent: stack, frame: frame, isInlined: depth > 0)
                }
            } else {
                let frame = Self.runtimeFrame(node, address: address.address, runtimeName: runtimeName)
                stack = interner.stack(parent: stack, frame: interner.frame(frame))
            }
            stacks[id] = stack
            if address.file > 0 { memory.remember(stack, of: id, node) }
        }
        return stacks
    }

    private static func runtimeFrame(
        _ node: RegionNode, address: UInt64, runtimeName: RuntimeName
    ) -> Frame {
        if let name = runtimeName(address), !name.isEmpty { return Frame(function: name) }
        return Frame(function: "0x" + String(node.address, radix: 16), kind: .address)
    }

    private func accumulate(_ snapshot: RegionSnapshot, stacks: [StackID]) -> Profile {
        let builtIn: [RegionCellKind: StackID] = [
            .overflow: interner.stack(of: BuiltInFrame.regionFull),
            .reentrant: interner.stack(of: BuiltInFrame.signalHandler),
            .inherited: interner.stack(of: BuiltInFrame.inherited),
            .noStack: interner.stack(of: BuiltInFrame.noStack),
        ]
        interner.rank()
        let table = interner.table
        var accumulator = ProfileAccumulator(capacity: min(snapshot.cells.count, table.count))
        for cell in snapshot.cells {
            var stack: StackID = 0
            if cell.kind == .site {
                if Int(cell.stack) < stacks.count { stack = stacks[Int(cell.stack)] }
                // The record was handed out and not filled yet, or the file is damaged.
                if stack == 0 { stack = builtIn[.noStack] ?? 0 }
            } else {
                stack = builtIn[cell.kind] ?? 0
            }
            accumulator.add(stack: stack, sizeClass: cell.sizeClass, cell.counters)
        }
        var shim = ShimFigures()
        shim.health = snapshot.health
        shim.regionBytes = snapshot.regionBytes
        shim.privateBytes = snapshot.privateBytes
        shim.threadsSeen = snapshot.threadsSeen
        shim.walks = snapshot.walks
        shim.fullWalks = snapshot.fullWalks
        shim.stackDepth = snapshot.stackDepth
        shim.damagedRecords = snapshot.damagedRecords
        if case .stopped = snapshot.state { shim.stopped = 1 }
        let moment = snapshot.peakMonotonicNanoseconds
        accumulator.take(
            table: table, modules: modules(of: snapshot), shim: shim, sampling: sampling(of: snapshot),
            slackBytes: snapshot.peakSlackBytes,
            peakMoment: moment == 0 ? nil : moment)
        return accumulator.profile
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
