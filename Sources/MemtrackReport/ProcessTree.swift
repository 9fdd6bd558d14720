// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The processes of a session as a tree.
struct ProcessTree {
    /// In order of their start.
    let processes: [ProcessImages]
    /// Rows; the processes with most memory are kept, together with their ancestors.
    let limit: Int

    init(records: [ProcessRecord], limit: Int) {
        processes = records.byProcess
        self.limit = limit
    }

    /// One that has always been one program is in the report's head.
    var isWorthShowing: Bool { processes.count > 1 || processes.contains { $0.images.count > 1 } }

    private struct Place {
        var process: Int
        /// Of each ancestor below the root, outermost first, whether another process stands under its parent further down.
        var goesOn: [Bool]
        var isLast: Bool
        var depth: Int
    }

    /// Deeper levels are not indented further, so that the names stay readable.
    private static let deepest = 12

    func write(to lines: inout TextLines) {
        let parents = parents()
        let shown = shown(parents)
        var children: [Int: [Int]] = [:]
        var roots: [Int] = []
        for index in processes.indices where shown.contains(index) {
            if let parent = parents[index] {
                children[parent, default: []].append(index)
            } else {
                roots.append(index)
            }
        }
        var table = Table(
            columns: [
                .init(title: "live at end", dropOrder: 0), .init(title: "peak", dropOrder: 2),
                .init(title: "allocations", dropOrder: 3), .init(title: "RSS", dropOrder: 1),
            ], textTitle: "process")
        var places: [Place] = []
        var stack = roots.reversed().map { Place(process: $0, goesOn: [], isLast: true, depth: 0) }
        while let place = stack.popLast() {
            places.append(place)
            let below = children[place.process] ?? []
            let isIndented = place.depth > 0 && place.depth <= Self.deepest
            let goesOn = isIndented ? place.goesOn + [!place.isLast] : place.goesOn
            for (number, child) in below.enumerated().reversed() {
                stack.append(
                    Place(
                        process: child, goesOn: goesOn, isLast: number == below.count - 1,
                        depth: place.depth + 1))
            }
        }
        let levels = places.map(\.depth).max() ?? 0
        for place in places { table.rows.append(row(place, levels: min(levels, Self.deepest + 1))) }
        let hidden = processes.indices.filter { !shown.contains($0) }
        if !hidden.isEmpty { table.rows.append(rest(hidden)) }
        if processes.count > 1 { table.rows.append(total()) }
        table.write(to: &lines)
    }

    /// Index of each one's parent. A parent always started earlier, so there are no circles.
    private func parents() -> [Int: Int] {
        var latest: [Int32: Int] = [:]
        var result: [Int: Int] = [:]
        for (index, process) in processes.enumerated() {
            result[index] = latest[process.images[0].parentPID]
            latest[process.last.pid] = index
        }
        return result
    }

    private func shown(_ parents: [Int: Int]) -> Set<Int> {
        if processes.count <= limit { return Set(processes.indices) }
        let weights = processes.map { process in
            let totals = process.totals ?? Counters()
            return max(totals.liveBytes, totals.peakBytes, Int64(clamping: process.figures?.rss ?? 0))
        }
        let ranked = processes.indices.sorted {
            weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1
        }
        var result: Set<Int> = []
        for index in ranked {
            var chain: [Int] = []
            var next: Int? = index
            while let current = next, !result.contains(current), chain.count <= limit {
                chain.append(current)
                next = parents[current]
            }
            if result.count + chain.count > limit { continue }
            result.formUnion(chain)
            if result.count == limit { break }
        }
        return result
    }

    /// The lines that lead to a process. Where all `levels` would take more than half of the room, each gets less of it.
    private static func branch(_ place: Place, levels: Int, room: Int) -> String {
        if place.depth == 0 { return "" }
        let width = max(1, min(3, room / 2 / max(levels, 1)))
        let (line, fork, end) = [("│", "├", "└"), ("│ ", "├ ", "└ "), ("│  ", "├─ ", "└─ ")][width - 1]
        let gap = String(repeating: " ", count: width)
        return place.goesOn.map { $0 ? line : gap }.joined() + (place.isLast ? end : fork)
    }

    private func row(_ place: Place, levels: Int) -> Table.Row {
        let process = processes[place.process]
        let last = process.last
        let name = Escape.text(Frame.baseName(last.executable)) + " (\(last.pid))"
        var state = last.origin == .fork ? "  forked" : ""
        if !process.earlier.isEmpty {
            state += "  was " + process.earlier.map { Escape.text($0) }.joined(separator: ", ")
        }
        if last.totals == nil { state += "  not counted" }
        if last.wasReplaced { state += "  became one that is not counted" }
        if last.isAlive { state += "  still running" }
        return Table.Row(
            cells: Self.cells(process.totals, rss: process.figures?.rss, isLiveKnown: process.isLiveKnown),
            text: { room in
                let branch = DisplayWidth.truncateMiddle(
                    Self.branch(place, levels: levels, room: room), to: room / 2)
                let free = room - DisplayWidth.of(branch)
                let shown = DisplayWidth.truncateMiddle(name, to: free)
                let fits = DisplayWidth.of(shown) + DisplayWidth.of(state) <= free
                return [Span(branch, .dim), Span(shown), Span(fits ? state : "", .dim)]
            })
    }

    private func rest(_ hidden: [Int]) -> Table.Row {
        var sum = Counters()
        for index in hidden { sum += processes[index].totals ?? Counters() }
        let label = FigureText.plural(UInt64(hidden.count), "more process", "more processes")
        return Table.Row(cells: Self.cells(sum, rss: nil), text: { _ in [Span(label, .dim)] })
    }

    private func total() -> Table.Row {
        var sum = Counters()
        var rss: UInt64 = 0
        for process in processes {
            sum += process.totals ?? Counters()
            rss &+= process.figures?.rss ?? 0
        }
        // Figures of processes that ended at different times do not add up to anything.
        let areAllAlive = processes.allSatisfy(\.last.isAlive)
        let label = FigureText.plural(UInt64(processes.count), "process", "processes")
        var cells = Self.cells(sum, rss: areAllAlive ? rss : nil)
        // Nor do peaks of different moments.
        cells[1] = Span(FigureText.nothing, .dim)
        return Table.Row(
            cells: cells, text: { _ in [Span(label, .bold)] },
            isTotal: true)
    }

    private static func cells(_ totals: Counters?, rss: UInt64?, isLiveKnown: Bool = true) -> [Span] {
        let unknown = Span(FigureText.nothing, .dim)
        return [
            isLiveKnown ? totals.map { Span(FigureText.bytes($0.liveBytes), .bold) } ?? unknown : unknown,
            totals.map { Span(FigureText.bytes($0.peakBytes)) } ?? unknown,
            totals.map { Span(FigureText.count($0.allocations)) } ?? unknown,
            rss.map { Span(FigureText.bytes($0)) } ?? unknown,
        ]
    }
}
