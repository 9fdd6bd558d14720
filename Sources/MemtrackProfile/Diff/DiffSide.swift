// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// One side of a comparison: the runs of one build, added up by what a diff has rows for.
struct DiffSide {
    struct Item {
        var keys: [DiffKey]
        var label: DiffLabel
        /// One for each run.
        var runs: [Counters]
        /// Stack by stack, of all runs; none where a row has no lines.
        var parts: [DiffPart] = []
        /// Of the heaviest contribution so far: `label` is that one's.
        var weight: Int64 = .min
    }

    private(set) var items: [DiffKey: Item] = [:]
    /// All functions of all stacks: what is in none of them is not in the build, or was inlined out of sight.
    private(set) var functions: Set<String> = []
    /// Callers of each site, innermost first, with the allocations that came through them.
    private(set) var callers: [DiffKey: [(functions: [String], allocations: UInt64)]] = [:]
    private(set) var totals: [Counters]
    private let tables: [StackTable]

    /// Callers that the name of a row has.
    private static let siteCallers = 3
    private static let stackCallers = 8

    init(_ profiles: [LoadedProfile], by unit: DiffUnit) {
        totals = profiles.map(\.profile.totals)
        tables = profiles.map(\.profile.table)
        for (run, loaded) in profiles.enumerated() {
            var names = DiffNames(loaded)
            let profile = loaded.profile
            switch unit {
            case .class:
                for share in profile.sizeClasses {
                    let key = DiffKey(function: "\(share.sizeClass)")
                    add(key, .sizeClass(share.sizeClass), share.counters, run)
                }
            case .module:
                for site in profile.sites {
                    let module = site.frame.module
                    let key = DiffKey(function: "", module: names.module(module))
                    add(key, .module(module), site.counters, run)
                }
            case .site:
                for site in profile.sites { addSite(site, profile.table, &names, run) }
            case .stack:
                for site in profile.sites { addStacks(site, profile.table, &names, run) }
            }
        }
    }

    private mutating func add(
        _ key: DiffKey, _ label: DiffLabel, _ counters: Counters, _ run: Int, parts: [DiffPart] = []
    ) {
        let weight = max(counters.liveBytes, Int64(clamping: counters.allocatedBytes))
        var item =
            items[key]
            ?? Item(keys: [key], label: label, runs: Array(repeating: Counters(), count: totals.count))
        item.runs[run] += counters
        if weight > item.weight {
            item.label = label
            item.weight = weight
        }
        item.parts += parts
        items[key] = item
    }

    private mutating func addSite(
        _ site: Site, _ table: StackTable, _ names: inout DiffNames, _ run: Int
    ) {
        let key = names.key(of: site.id)
        let callers = table.callers(of: site.heaviestStack(by: .live), limit: Self.siteCallers)
        functions.insert(key.function)
        var parts: [DiffPart] = []
        for share in site.stacks {
            var path: [String] = []
            var lines = Hasher()
            lines.combine(site.frame.line)
            var id = table.parent(of: table.siteStack(of: share.stack))
            while id != 0 {
                let frame = table.innermost(of: id)
                let function = names.key(of: frame).function
                path.append(function)
                functions.insert(function)
                lines.combine(table.frame(frame).line)
                id = table.parent(of: id)
            }
            parts.append(
                DiffPart(
                    path: path.hashValue, lines: lines.finalize(), line: site.frame.line ?? 0, run: run,
                    site: site.id, stack: share.stack, counters: share.counters))
            if run == 0 { self.callers[key, default: []].append((path, share.counters.allocations)) }
        }
        add(key, .frame(site.frame, callers: callers), site.counters, run, parts: parts)
    }

    private mutating func addStacks(
        _ site: Site, _ table: StackTable, _ names: inout DiffNames, _ run: Int
    ) {
        for share in site.stacks {
            var path: [String] = []
            var lines = Hasher()
            var id = table.siteStack(of: share.stack)
            while id != 0 {
                let frame = table.innermost(of: id)
                let function = names.key(of: frame).function
                if !table.isWrapper(frame), path.last != function { path.append(function) }
                lines.combine(table.frame(frame).line)
                id = table.parent(of: id)
            }
            add(
                DiffKey(function: path.joined(separator: " ← ")),
                .frame(site.frame, callers: table.callers(of: share.stack, limit: Self.stackCallers)),
                share.counters, run,
                parts: [
                    DiffPart(
                        path: 0, lines: lines.finalize(), line: site.frame.line ?? 0, run: run,
                        site: site.id, stack: share.stack, counters: share.counters)
                ])
        }
    }

    /// What a row is called after one of its parts.
    func label(of part: DiffPart, by unit: DiffUnit) -> DiffLabel {
        let table = tables[part.run]
        return .frame(
            table.frame(part.site),
            callers: table.callers(
                of: part.stack, limit: unit == .stack ? Self.stackCallers : Self.siteCallers))
    }

    mutating func remove(_ key: DiffKey) -> Item? { items.removeValue(forKey: key) }
}

/// What a row is called on the screen: as in the newest profile that has it.
public enum DiffLabel: Sendable, Hashable {
    case frame(Frame, callers: [Frame])
    case module(String)
    case sizeClass(UInt32)
}
