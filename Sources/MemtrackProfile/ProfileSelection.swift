// SPDX-License-Identifier: Apache-2.0

/// Picks the stacks of a profile that a reader wants to see.
public struct ProfileSelection: Sendable {
    /// Call sites that match, by function, file or module.
    public var filter: TextPattern?
    /// Call sites that do not.
    public var exclude: TextPattern?
    /// Stacks with any frame that matches.
    public var focus: TextPattern?

    public init(filter: TextPattern? = nil, exclude: TextPattern? = nil, focus: TextPattern? = nil) {
        self.filter = filter
        self.exclude = exclude
        self.focus = focus
    }

    public var isAll: Bool { filter == nil && exclude == nil && focus == nil }

    /// What the options were, for a table's title; empty where all is shown.
    public var text: String {
        [("matching", filter), ("not matching", exclude), ("under", focus)].compactMap { word, pattern in
            pattern.map { "\(word) '\($0.text)'" }
        }.joined(separator: ", ")
    }

    /// The same profile with the stacks picked, and nothing else.
    public func apply(to profile: Profile) -> Profile {
        if isAll { return profile }
        let matches = FrameMatches(profile.table)
        let isFocused = focus.map { matches.stacks(with: $0) }
        let admitted = filter.map { matches.frames($0) }
        let excluded = exclude.map { matches.frames($0) }
        var sum = ProfileAccumulator()
        sum.take(
            table: profile.table, modules: profile.modules, shim: profile.shim,
            // What was counted by size is the whole program's.
            sampling: profile.sampling.map { Sampling(periodBytes: $0.periodBytes) },
            slackBytes: profile.peak.slackBytes, peakMoment: nil)
        for sample in profile.samples {
            let site = Int(profile.table.siteFrame(of: sample.stack))
            if let admitted, !admitted[site] { continue }
            if let excluded, excluded[site] { continue }
            if let isFocused, !isFocused[Int(sample.stack)] { continue }
            sum.add(stack: sample.stack, sizeClass: sample.sizeClass, sample.counters)
        }
        var result = sum.profile
        result.peak = profile.peak
        // What was counted one by one is not known by stack: it is of all stacks.
        result.sampling?.exact = []
        return result
    }
}

/// Which frames and stacks of a table match a pattern: each frame is matched once.
private struct FrameMatches {
    private let table: StackTable

    init(_ table: StackTable) { self.table = table }

    func frames(_ pattern: TextPattern) -> [Bool] { table.frames.map { $0.matches(pattern) } }

    /// Indexed by stack.
    func stacks(with pattern: TextPattern) -> [Bool] {
        let frames = frames(pattern)
        var result = [Bool](repeating: false, count: table.count + 1)
        for id in result.indices.dropFirst() {
            let stack = StackID(id)
            result[id] = result[Int(table.parent(of: stack))] || frames[Int(table.innermost(of: stack))]
        }
        return result
    }
}

extension Frame {
    /// By function, file or module.
    public func matches(_ pattern: TextPattern) -> Bool {
        pattern.matches(function) || pattern.matches(module) || (file.map(pattern.matches) ?? false)
    }
}
