// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile

/// How exact the peak is, in a comment of the profile itself: a profile that was parted from its companion must not look
/// more exact than it is.
enum PeakComment {
    private static let words = ["peak: slack ", " bytes, processes "]

    /// nil where it is not known.
    static func text(_ peak: Peak) -> String? {
        peak.slackBytes.map { words[0] + String($0) + words[1] + String(peak.processes) }
    }

    static func peak(in comments: [String]) -> Peak? {
        for comment in comments where comment.hasPrefix(words[0]) {
            let figures = comment.dropFirst(words[0].count)
            guard let end = figures.firstRange(of: words[1]), let slack = UInt64(figures[..<end.lowerBound]),
                let processes = Int(figures[end.upperBound...]), (0...1 << 40).contains(processes)
            else { continue }
            return Peak(slackBytes: slack, processes: processes)
        }
        return nil
    }
}
