// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// A tree of functions: the total of each, its share of the whole, its own part. A chain of functions that pass
/// everything on is one line.
struct TreeView {
    private let tree: CallTree
    private let whole: Counters
    private let options: ViewOptions

    init(_ tree: CallTree, _ whole: Counters, _ options: ViewOptions) {
        self.tree = tree
        self.whole = whole
        self.options = options
    }

    private struct Line {
        /// The functions of a chain, outer first.
        var chain: [Int]
        /// For each level above: whether more comes below there.
        var rails: [Bool]
        var isLast: Bool
        /// Siblings that were too small, where there are: how many and their sum.
        var smaller: (count: Int, sum: Counters)?
    }

    private func weight(_ counters: Counters) -> Int64 { options.figure.value(of: counters) }

    private func ranked(_ places: [Int]) -> [Int] {
        places.sorted {
            let (left, right) = (weight(tree.nodes[$0].total), weight(tree.nodes[$1].total))
            return left != right
                ? left > right : tree.nodes[$0].frame.function < tree.nodes[$1].frame.function
        }
    }

    /// In order of the text, without recursion: a stack may be as deep as a file says.
    private func lines(minimumShare: Double, limit: Int) -> (lines: [Line], isCut: Bool) {
        let least = minimumShare * Double(weight(whole))
        var result: [Line] = []
        var waiting: [Line] = []
        func push(_ places: [Int], rails: [Bool]) {
            let all = ranked(places).filter { weight(tree.nodes[$0].total) != 0 }
            let shown = all.filter { Double(weight(tree.nodes[$0].total).magnitude) >= least }
            var siblings = shown.map { Line(chain: [$0], rails: rails, isLast: false) }
            if shown.count < all.count {
                var sum = Counters()
                for place in all { sum += tree.nodes[place].total }
                for place in shown { sum -= tree.nodes[place].total }
                siblings.append(
                    Line(chain: [], rails: rails, isLast: false, smaller: (all.count - shown.count, sum)))
            }
            if !siblings.isEmpty { siblings[siblings.count - 1].isLast = true }
            waiting += siblings.reversed()
        }
        push(tree.roots, rails: [])
        while var line = waiting.popLast() {
            if result.count >= limit { return (result, true) }
            if var place = line.chain.first {
                while options.collapses, tree.nodes[place].children.count == 1,
                    weight(tree.nodes[place].own) == 0
                {
                    place = tree.nodes[place].children[0]
                    line.chain.append(place)
                }
                result.append(line)
                push(tree.nodes[place].children, rails: line.rails + [!line.isLast])
            } else {
                result.append(line)
            }
        }
        return (result, false)
    }

    func write(to lines: inout TextLines) {
        let found = self.lines(minimumShare: options.minimumShare, limit: options.limit)
        if found.lines.isEmpty {
            lines.add([Span("  none", .dim)])
            return
        }
        var table = Table(
            columns: [
                .init(title: "total", dropOrder: 0), .init(title: "share", dropOrder: 2),
            ], textTitle: "")
        // From the bottom up, what stacks begin with allocates nothing.
        let showsOwn = tree.direction == .topDown
        if showsOwn { table.columns.append(.init(title: "own", dropOrder: 1)) }
        for line in found.lines {
            let last = line.chain.last
            let counters = line.smaller?.sum ?? last.map { tree.nodes[$0].total } ?? Counters()
            let own = last.map { tree.nodes[$0].own } ?? Counters()
            let isBranch = line.smaller == nil
            table.rows.append(
                Table.Row(
                    cells: [
                        Span(options.figure.text(counters), isBranch ? .plain : .dim),
                        Span(
                            FigureText.share(Double(weight(counters)), of: Double(weight(whole))), .dim),
                    ] + (showsOwn ? [ownCell(own)] : []),
                    text: { text(line, room: $0) }))
        }
        table.write(to: &lines)
        if found.isCut {
            lines.paragraph(
                "There is more: --object-limit N shows more lines, --min-share P fewer branches.", tone: .dim)
        }
    }

    private func ownCell(_ own: Counters) -> Span {
        weight(own) == 0 ? Span(FigureText.nothing, .dim) : Span(options.figure.text(own), .bold)
    }

    private func text(_ line: Line, room: Int) -> [Span] {
        var rails = line.rails.dropFirst().map { $0 ? "│ " : "  " }.joined()
        if !line.rails.isEmpty { rails += line.isLast ? "└ " : "├ " }
        let most = max(2, room / 2)
        if DisplayWidth.of(rails) > most { rails = "…" + String(rails.suffix(most - 1)) }
        let left = max(8, room - DisplayWidth.of(rails))
        if let smaller = line.smaller {
            return [Span(rails, .dim), Span("\(smaller.count) smaller", .dim)]
        }
        let frames = line.chain.map { tree.nodes[$0].frame }
        guard let last = frames.last else { return [] }
        // A chain: its first functions in dim, as many as there is room for.
        for count in stride(from: frames.count - 1, to: 0, by: -1) {
            let isCut = count < frames.count - 1
            let names = frames.prefix(isCut ? max(1, count - 1) : count).map { FrameText.short($0) + " → " }
            let text = names.joined() + (isCut ? "… → " : "")
            let end = FrameText.site(last, room: left)
            let width = end.reduce(DisplayWidth.of(text)) { $0 + DisplayWidth.of($1.text) }
            if width <= left { return [Span(rails, .dim), Span(text, .dim)] + end }
        }
        return [Span(rails, .dim)] + FrameText.site(last, room: left)
    }

    /// Every node: depth, and the place of its parent among the rows.
    var records: Records {
        let names = SampleType.allCases.map(\.rawValue)
        var result = Records(
            columns: ["row", "parent", "depth", "function", "file", "module"] + names
                + names.map { "own_" + $0 })
        var waiting = ranked(tree.roots).reversed().map { (place: $0, parent: -1, depth: 0) }
        while let (place, parent, depth) = waiting.popLast() {
            let (node, row) = (tree.nodes[place], result.rows.count)
            result.rows.append(
                [
                    .integer(Int64(row)), parent < 0 ? .nothing : .integer(Int64(parent)),
                    .integer(Int64(depth)), .text(node.frame.function),
                    node.frame.file.map(Records.Cell.text) ?? .nothing, .text(node.frame.module),
                ] + SampleType.allCases.map { .integer($0.value(of: node.total)) }
                    + SampleType.allCases.map { .integer($0.value(of: node.own)) })
            waiting += ranked(node.children).reversed().map { ($0, row, depth + 1) }
        }
        return result
    }
}
