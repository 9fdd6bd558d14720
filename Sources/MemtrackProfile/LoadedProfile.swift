// SPDX-License-Identifier: Apache-2.0

/// A profile as it is looked at, compared and exported: from a file, from a region, or of a process that runs.
///
/// Everything is in `summary`, as at the end of a session: who (`program`, `pid`, `commandLine`, `host`), when
/// (`start`, `duration`, `ending`), the process series (`series`), `markers`, `gauges`, the children
/// (`processes`), health (`profile.shim`) and `profile` itself:
///
/// * `profile.samples` are the finest figures there are, one for each (stack, size class); the sums over them are
///   `profile.totals`, `sites` and `sizeClasses`. `SampleType.value(of:)` picks a figure out of the counters.
/// * `profile.table` has the frames of each stack, innermost first (`frameIDs(of:)`), which of them were inlined
///   into their caller (`isInlined(_:)`), and which only allocate for their caller (`isWrapper(_:)`).
/// * `profile.modules` are the objects that the frames' `module` paths name, with build ids.
/// * `profile.sampling` is nil where every allocation was counted.
///
/// Text comes from the target, or from a file of unknown origin, and is untrusted.
public struct LoadedProfile: Sendable {
    /// What the user called it: a file's path, or `PID 4711`.
    public var name: String
    /// `profile` is never nil in it.
    public var summary: SessionSummary
    /// Figures that the source has. Of a file of another tool some may be missing; their values are 0.
    public var sampleTypes: Set<SampleType>
    /// A file without its companion, or of another tool, has no series, children, marks and health.
    public var hasCompanion: Bool
    /// A sentence on a companion that should be there and cannot be used; one of the summary's notes, too.
    public var companionProblem: String?
    /// `memtrack 0.1.0`; nil if unknown.
    public var producer: String?

    public init(
        name: String, summary: SessionSummary, sampleTypes: Set<SampleType> = Set(SampleType.allCases),
        hasCompanion: Bool = true, companionProblem: String? = nil, producer: String? = nil
    ) {
        self.name = name
        self.summary = summary
        self.sampleTypes = sampleTypes
        self.hasCompanion = hasCompanion
        self.companionProblem = companionProblem
        self.producer = producer
    }

    /// The same, showing only the object types that a filter admits.
    public func showingTypes(_ filter: TypeFilter?) -> LoadedProfile {
        var result = self
        result.summary.types = summary.types?.showing(filter)
        return result
    }

    /// The same with those object types alone.
    public func selectingTypes(_ filter: TypeFilter?) -> LoadedProfile {
        var result = self
        result.summary.types = summary.types?.selecting(filter)
        return result
    }

    public var profile: Profile { summary.profile ?? Profile() }

    /// The program's own file: the first image may have been a script's interpreter, or env.
    public var mainModule: ProfileModule? {
        let modules = profile.modules
        return modules.first { Frame.baseName($0.path) == summary.program } ?? modules.first
    }

    /// Build id of the program's own file, in hexadecimal; empty if unknown.
    public var buildID: String { mainModule?.buildIDText ?? "" }
}
