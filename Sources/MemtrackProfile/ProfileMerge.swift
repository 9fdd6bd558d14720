// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

extension LoadedProfile {
    /// One profile of many: of hosts, children, or runs. Counters are added up, and so are peaks: the sum is an upper
    /// bound, because they need not have been at one time.
    ///
    /// Marks, gauges, duration and the series of checkpoints belong to a run of its own and are left out.
    public static func merged(_ profiles: [LoadedProfile], name: String) -> LoadedProfile? {
        guard let first = profiles.first else { return nil }
        // What was a wrapper in any is one in all: a site must not depend on the file it came from.
        var wrappers = WrapperMatcher()
        for loaded in profiles {
            let table = loaded.profile.table
            wrappers.adopt(
                table.frames.indices.filter { table.isWrapper(FrameID($0)) }.map { table.frames[$0].function }
            )
        }
        var interner = StackInterner(wrappers: wrappers)
        var stacks: [[StackID]] = []
        for loaded in profiles { stacks.append(interner.adopt(loaded.profile.table)) }
        var sum = ProfileAccumulator()
        for (loaded, places) in zip(profiles, stacks) {
            var profile = loaded.profile
            for index in profile.samples.indices {
                profile.samples[index].stack = places[Int(profile.samples[index].stack)]
            }
            profile.table = interner.table
            sum.add(profile)
        }
        var summary = SessionSummary(
            program: first.summary.program, pid: 0, commandLine: [], host: "", start: first.summary.start,
            duration: 0, ending: .unknown, profile: sum.profile)
        let same = { (value: (LoadedProfile) -> String) in Set(profiles.map(value)).count == 1 }
        if same({ $0.summary.host }) { summary.host = first.summary.host }
        if same({ $0.summary.commandLine.joined(separator: "\0") }) {
            summary.commandLine = first.summary.commandLine
        }
        for loaded in profiles {
            if loaded.summary.start.unixSeconds < summary.start.unixSeconds {
                summary.start = loaded.summary.start
            }
            summary.processes += loaded.summary.processes
        }
        summary.types = TypeTable.merged(profiles.compactMap(\.summary.types))
        let hosts = Set(profiles.map(\.summary.host)).subtracting([""]).sorted()
        let programs = Set(profiles.map(\.summary.program)).sorted()
        summary.notes = [
            "Merged of \(profiles.count) profiles"
                + (programs.count > 1 ? " of \(programs.prefix(8).joined(separator: ", "))" : "")
                + (hosts.isEmpty ? "" : ", from \(hosts.prefix(8).joined(separator: ", "))") + "."
        ]
        for note in profiles.flatMap(\.summary.notes) where !summary.notes.contains(note) {
            summary.notes.append(note)
        }
        var types = first.sampleTypes
        for loaded in profiles { types.formIntersection(loaded.sampleTypes) }
        return LoadedProfile(name: name, summary: summary, sampleTypes: types)
    }
}

extension StackInterner {
    /// Gives each stack of another table a place in this one; indexed by the other's ids.
    fileprivate mutating func adopt(_ other: StackTable) -> [StackID] {
        let frames = other.frames.map { frame($0) }
        var result: [StackID] = [0]
        result.reserveCapacity(other.count + 1)
        for id in 1..<StackID(other.count + 1) {
            result.append(
                stack(
                    parent: result[Int(other.parent(of: id))], frame: frames[Int(other.innermost(of: id))],
                    isInlined: other.isInlined(id)))
        }
        return result
    }
}
