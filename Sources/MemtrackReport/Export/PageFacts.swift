// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// How a profile was made, and what was lost, in words.
enum PageFacts {
    static func facts(_ profile: LoadedProfile, base: LoadedProfile?) -> [(label: String, text: String)] {
        guard let base else { return facts(profile).filter { !$0.text.isEmpty } }
        let new = facts(profile)
        return zip(facts(base), new).compactMap { old, new in
            if old.text.isEmpty && new.text.isEmpty { return nil }
            return (new.label, old.text == new.text ? new.text : "\(old.text) → \(new.text)")
        }
    }

    /// What a reader must know before any figure.
    static func notes(_ profile: LoadedProfile) -> [String] {
        let sampled = profile.profile.sampling == nil ? [] : ["\(counting(profile.profile))."]
        return sampled + profile.summary.notes + profile.summary.hints
    }

    static func health(_ profile: LoadedProfile, base: LoadedProfile?) -> [String] {
        guard let base else { return health(profile) }
        return health(base).map { "Old: " + $0 } + health(profile).map { "New: " + $0 }
    }

    private static func health(_ profile: LoadedProfile) -> [String] {
        if !profile.hasCompanion {
            return ["Not known: the file beside the profile, which says what was lost, is not there."]
        }
        return HealthText.sentences(profile.profile.shim, totals: profile.profile.totals)
    }

    /// Always the same labels in the same order; an empty text where there is nothing to say.
    private static func facts(_ profile: LoadedProfile) -> [(label: String, text: String)] {
        let summary = profile.summary
        let shim = profile.profile.shim
        let own = summary.shimBytes.map(FigureText.bytes) ?? ""
        return [
            ("Profile", profile.name),
            ("Command", summary.commandLine.joined(separator: " ")),
            ("Program", "\(summary.program) (\(summary.pid)), \(FinalReport.ended(summary))"),
            ("Build id", profile.buildID),
            ("Host", summary.host),
            ("Started", ReportJSON.timestamp(summary.start)),
            ("Checkpoints", checkpoints(summary)),
            ("Counting", counting(profile.profile)),
            ("Peak", peak(summary, profile.profile.peak)),
            ("Threads seen", shim.threadsSeen > 0 ? FigureText.count(shim.threadsSeen) : ""),
            ("memtrack's own memory", own.isEmpty ? "" : "\(own), not in the figures of the program"),
            ("Written by", profile.producer ?? ""),
        ]
    }

    private static func checkpoints(_ summary: SessionSummary) -> String {
        let count = summary.series.checkpoints.count
        guard count > 0 else { return "" }
        let text = FigureText.plural(UInt64(count), "checkpoint", "checkpoints")
        return summary.interval > 0 ? "\(text), every \(FigureText.duration(summary.interval))" : text
    }

    private static func counting(_ profile: Profile) -> String {
        if let sampling = profile.sampling {
            return "Sampled: one allocation in \(FigureText.shortBytes(sampling.periodBytes)) on average; "
                + "the figures are estimates"
        }
        return "Every allocation, with its whole call stack"
    }

    private static func peak(_ summary: SessionSummary, _ peak: Peak) -> String {
        guard peak.processes > 0 else { return "" }
        if peak.processes > 1 {
            return "the sum of the peaks of \(peak.processes) processes: no more than that at any moment"
        }
        let moment = summary.secondsToPeak.map { "at +\(FigureText.duration($0)), " } ?? ""
        guard let slack = peak.slackBytes else { return moment + "how exact is not known" }
        return moment + (slack == 0 ? "exact" : "within \(FigureText.shortBytes(slack)) of the highest")
    }
}
