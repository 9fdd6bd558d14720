// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What must be known of the profiles before any figure of a diff.
enum DiffNotes {
    static func sentences(_ old: [LoadedProfile], _ new: [LoadedProfile]) -> [String] {
        var result = (old + new).compactMap(\.companionProblem)
        result += samplingNotes(old, new)
        let unknown = (old + new).filter {
            $0.profile.peak.slackBytes == nil && $0.profile.totals.peakBytes > 0
        }
        if !unknown.isEmpty {
            result.append(
                "How exact the peak is, is not known of \(names(unknown)): it is compared as if it were exact."
            )
        }
        return result
    }

    /// Which sides are estimates, and what of them is not.
    private static func samplingNotes(_ old: [LoadedProfile], _ new: [LoadedProfile]) -> [String] {
        let sampled = (old + new).filter { $0.profile.sampling != nil }
        guard let period = sampled.compactMap(\.profile.sampling?.periodBytes).max() else { return [] }
        let were = sampled.count == 1 ? "was" : "were"
        let counted = sampled.allSatisfy { $0.profile.sampling?.totals != nil }
        var result = [
            "\(names(sampled)) \(were) sampled, one block in \(FigureText.shortBytes(period)) on average: "
                + "figures are estimates, ± is the standard error of a change, and what is within three of these is noise."
                + (counted ? " Allocations in total are exact." : "")
                + " A peak is the highest of many estimates: too high rather than too low."
        ]
        let periods = Set((old + new).map { $0.profile.sampling?.periodBytes ?? 0 })
        if periods.count > 1 {
            result.append(
                "The profiles were not sampled alike: sample both sides the same for a sure verdict.")
        }
        return result
    }

    static func names(_ profiles: [LoadedProfile]) -> String {
        let names = profiles.map { Frame.baseName($0.name) }
        if names.count > 4 { return names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more" }
        guard let last = names.last, names.count > 1 else { return names.first ?? "" }
        return names.dropLast().joined(separator: ", ") + " and " + last
    }
}
