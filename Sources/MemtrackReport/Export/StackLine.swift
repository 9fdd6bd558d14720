// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The stacks of a profile as lists of frames, each list once: two stacks of the table may differ in nothing
/// but what was inlined, and formats without inlining refuse repetitions.
struct StackLine {
    /// Innermost first.
    var frames: [FrameID]
    var counters: Counters

    /// `fromSites`: without the allocation wrappers inside the call site.
    static func all(_ profile: Profile, fromSites: Bool = false) -> [StackLine] {
        var result: [StackLine] = []
        var places: [[FrameID]: Int] = [:]
        for site in profile.sites {
            for share in site.stacks {
                let stack = fromSites ? profile.table.siteStack(of: share.stack) : share.stack
                let frames = profile.table.frameIDs(of: stack)
                if let place = places[frames] {
                    result[place].counters += share.counters
                } else {
                    places[frames] = result.count
                    result.append(StackLine(frames: frames, counters: share.counters))
                }
            }
        }
        return result
    }
}

extension Frame {
    /// `function (file:line)`, or with the module where the file is not known, as valgrind writes it.
    var valgrindText: String {
        if let file = fileName, !file.isEmpty {
            return "\(function) (\(file)\(line.map { ":\($0)" } ?? ""))"
        }
        return module.isEmpty ? function : "\(function) (in \(module))"
    }
}
