// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

/// The calls that were inlined into one function, as a tree, with the addresses of each.
struct InlinedScopes {
    private struct Scope {
        var die: Dwarf_Die
        /// Index of the inlined call that this one lies in; nil directly in the function.
        var parent: Int?
    }

    private var scopes: [Scope] = []
    private let ranges: IntervalMap

    /// `limit`: how many entries to visit at most.
    init(of function: Dwarf_Die, limit: Int) {
        var scopes: [Scope] = []
        var intervals: [Interval] = []
        walk(from: function, limit: limit, context: Int?.none) { die, parent in
            switch Int(dwarf_tag(&die)) {
            case DW_TAG_inlined_subroutine:
                let index = scopes.count
                scopes.append(Scope(die: die, parent: parent))
                forEachRange(of: &die) { start, end in
                    // Numbered outside in: a call inside another one ranks higher.
                    intervals.append(Interval(start: start, end: end, rank: index, value: index))
                }
                return .some(.some(index))
            case DW_TAG_lexical_block, DW_TAG_try_block, DW_TAG_catch_block:
                return .some(parent)
            default:
                return nil
            }
        }
        self.scopes = scopes
        ranges = IntervalMap(intervals)
    }

    /// The inlined calls around an address, innermost first.
    func chain(at address: UInt64) -> [Dwarf_Die] {
        var chain: [Dwarf_Die] = []
        var next = ranges.value(at: address)
        // Ends: a parent's index is always smaller.
        while let index = next {
            chain.append(scopes[index].die)
            next = scopes[index].parent
        }
        return chain
    }
}

/// Visits the entries below one, in the order of the file. `visit` returns the context for the entry's own
/// children, or nil to leave them out.
///
/// Neither recursion nor trust: the nesting is the file's, and its sibling links may make the tree a
/// graph with exponentially many paths. Hence the limit on the entries visited.
func walk<Context>(
    from root: Dwarf_Die, limit: Int, context: Context, visit: (inout Dwarf_Die, Context) -> Context?
) {
    var pending: [(die: Dwarf_Die, context: Context)] = []
    var root = root
    var die = Dwarf_Die()
    guard dwarf_child(&root, &die) == 0 else { return }
    pending.append((die, context))
    var steps = 0
    while let entry = pending.popLast() {
        var die = entry.die
        steps += 1
        guard steps <= limit else { return }
        let inner = visit(&die, entry.context)
        var next = Dwarf_Die()
        if dwarf_siblingof(&die, &next) == 0 { pending.append((next, entry.context)) }
        if let inner, dwarf_child(&die, &next) == 0 { pending.append((next, inner)) }
    }
}
