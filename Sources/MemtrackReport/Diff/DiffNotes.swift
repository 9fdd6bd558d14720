// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// What must be known of the profiles before any figure of a diff.
enum DiffNotes {
    static func sentences(_ old: [LoadedProfile], _ new: [LoadedProfile]) -> [String] {
        var result = (old + new).compactMap(\.companionProblem)
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

    static func names(_ profiles: [LoadedProfile]) -> String {
        let names = profiles.map { Frame.baseName($0.name) }
        if names.count > 4 { return names.prefix(3).joined(separator: ", ") + " and \(names.count - 3) more" }
        guard let last = names.last, names.count > 1 else { return names.first ?? "" }
        return names.dropLast().joined(separator: ", ") + " and " + last
    }
}
