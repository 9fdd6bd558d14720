// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// One stack a line, root first, frames between semicolons, then the figure: what flamegraph.pl, inferno and
/// speedscope read. Lines are sorted; equal ones are added up.
///
/// The format has no escapes, so a semicolon of a name (Rust's `[u8; 4]`) is written `\x3b`, and control
/// characters and backslashes as elsewhere in our text. It has no sign either: what is not above zero is left
/// out.
public struct FoldedExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let table = profile.profile.table
        let names = table.frames.map(Self.name)
        var values: [String: Int64] = [:]
        for site in profile.profile.sites {
            for share in site.stacks {
                let line = table.frameIDs(of: share.stack).reversed().map { names[Int($0)] }
                values[line.joined(separator: ";"), default: 0] &+= options.sampleType.value(
                    of: share.counters)
            }
        }
        var text = ""
        for (line, value) in values.filter({ $0.value > 0 }).sorted(by: { $0.key < $1.key }) {
            text += line + " \(value)\n"
        }
        return Array(text.utf8)
    }

    private static func name(_ frame: Frame) -> String {
        Escape.text(frame.function).split(separator: ";", omittingEmptySubsequences: false)
            .joined(separator: "\\x3b")
    }
}
