// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// Text in the format of valgrind's massif, for ms_print and massif-visualizer: a snapshot for each
/// checkpoint, with its total alone; one of the peak and one of the end, with the stacks.
///
/// A stack begins at its site, after the allocation wrappers, and has at most 90 frames. What is less than
/// 0.1 % is added up, as massif does. The format has no sign: what is below zero counts as zero. Addresses
/// are not kept in a profile, so all are 0x0. ms_print takes `#` for the start of a comment, so names
/// (`{lambda()#1}`) have its full-width form.
public struct MassifExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let summary = profile.summary
        let stacks = StackLine.all(profile.profile, fromSites: true)
        let frames = profile.profile.table.frames
        let peak = MassifTree(stacks.map { ($0.frames, $0.counters.peakBytes) }, frames: frames)
        let end = MassifTree(stacks.map { ($0.frames, $0.counters.liveBytes) }, frames: frames)
        let command = summary.commandLine.map(Escape.text).joined(separator: " ")
        var text = "desc: memtrack\ncmd: \(Self.plain(command))\ntime_unit: ms\n"
        for (number, snapshot) in snapshots(summary, peak: peak, end: end).enumerated() {
            text += """
                #-----------
                snapshot=\(number)
                #-----------
                time=\(snapshot.milliseconds)
                mem_heap_B=\(snapshot.bytes)
                mem_heap_extra_B=0
                mem_stacks_B=0
                heap_tree=\(snapshot.kind)
                \(snapshot.tree?.text ?? "")
                """
        }
        return Array(text.utf8)
    }

    private struct Snapshot {
        var milliseconds: Int64
        var bytes: Int64
        var kind = "empty"
        var tree: MassifTree?
    }

    /// In order of time. The peak may be between two checkpoints.
    private func snapshots(_ summary: SessionSummary, peak: MassifTree, end: MassifTree) -> [Snapshot] {
        func milliseconds(_ seconds: Double) -> Int64 { seconds.count(of: 1e-3) }
        var result = summary.series.checkpoints.compactMap { checkpoint in
            checkpoint.totals.map {
                Snapshot(milliseconds: milliseconds(checkpoint.elapsed), bytes: max(0, $0.liveBytes))
            }
        }
        let last = max(milliseconds(summary.duration), result.map(\.milliseconds).max() ?? 0)
        result.append(Snapshot(milliseconds: last, bytes: end.bytes, kind: "detailed", tree: end))
        if peak.bytes > 0 {
            // Where nobody saw when, it stands before the end.
            let moment = min(last, summary.secondsToPeak.map(milliseconds) ?? last)
            let place = result.firstIndex { $0.milliseconds >= moment } ?? result.count - 1
            result.insert(
                Snapshot(milliseconds: moment, bytes: peak.bytes, kind: "peak", tree: peak), at: place)
        }
        return result
    }

    static func plain(_ text: String) -> String {
        text.split(separator: "#", omittingEmptySubsequences: false).joined(separator: "＃")
    }
}

/// Stacks joined from the site outwards.
private struct MassifTree {
    private struct Node {
        var frame: FrameID
        var bytes: Int64 = 0
        var children: [Int] = []
    }

    /// Beyond 100, ms_print warns of every line.
    private static let deepest = 90
    private var nodes = [Node(frame: 0)]
    private let frames: [Frame]

    init(_ stacks: [(frames: [FrameID], bytes: Int64)], frames: [Frame]) {
        self.frames = frames
        var places: [UInt64: Int] = [:]
        for stack in stacks where stack.bytes > 0 {
            var node = 0
            nodes[0].bytes.add(stack.bytes)
            for frame in stack.frames.prefix(Self.deepest) {
                let key = UInt64(node) << 32 | UInt64(frame)
                let next = places[key, default: nodes.count]
                if next == nodes.count {
                    places[key] = next
                    nodes.append(Node(frame: frame))
                    nodes[node].children.append(next)
                }
                node = next
                nodes[node].bytes.add(stack.bytes)
            }
        }
    }

    var bytes: Int64 { nodes[0].bytes }

    var text: String {
        var text = ""
        var open = [(node: 0, depth: 0, isRest: false)]
        while let (node, depth, isRest) = open.popLast() {
            let indent = String(repeating: " ", count: depth)
            if isRest {
                let hidden = nodes[node].children.filter { !isShown($0) }
                let bytes = hidden.reduce(into: Int64(0)) { $0.add(nodes[$1].bytes) }
                text +=
                    "\(indent)n0: \(bytes) in \(hidden.count) places, all below memtrack's threshold (0.10%)\n"
                continue
            }
            let shown = nodes[node].children.filter(isShown).sorted { nodes[$0].bytes > nodes[$1].bytes }
            let hasRest = shown.count < nodes[node].children.count
            text += "\(indent)n\(shown.count + (hasRest ? 1 : 0)): \(nodes[node].bytes) \(label(node))\n"
            if hasRest { open.append((node, depth + 1, true)) }
            open += shown.reversed().map { ($0, depth + 1, false) }
        }
        return text
    }

    private func isShown(_ node: Int) -> Bool {
        Double(nodes[node].bytes) * 1_000 >= Double(bytes)
    }

    private func label(_ node: Int) -> String {
        if node == 0 { return "(heap allocation functions) malloc/new/new[], --alloc-fns, etc." }
        return "0x0: " + MassifExporter.plain(Escape.text(frames[Int(nodes[node].frame)].valgrindText))
    }
}

extension Int64 {
    /// Of two that are not negative. A profile of unknown origin may claim any size; this stops at the
    /// largest.
    fileprivate mutating func add(_ other: Int64) {
        let (sum, isTooLarge) = addingReportingOverflow(other)
        self = isTooLarge ? .max : sum
    }
}

extension Double {
    /// Seconds as a whole number of some unit; what is no time is 0.
    func count(of unit: Double) -> Int64 {
        isFinite && self > 0 ? Int64(Swift.min(self / unit, 1e18)) : 0
    }
}
