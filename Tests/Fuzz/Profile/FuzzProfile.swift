// SPDX-License-Identifier: Apache-2.0
import CZlib
import FuzzSupport
import MemtrackProfile
import MemtrackProfileFile
import MemtrackReport

/// What libFuzzer runs: any bytes for a profile and its companion give an error or a report, and never a trap.
///
/// An input is the length of the profile (4 bytes), the profile, gzipped or not, and its companion. `@CRC@` in the
/// companion stands for the check sum of the profile: without the right one it is not looked at further.
enum FuzzProfile {
    static func run(_ input: UnsafeRawBufferPointer) {
        guard input.count > 4 else { return }
        let rest = input.dropFirst(4)
        let length = Int(input.loadUnaligned(as: UInt32.self)) % (rest.count + 1)
        let profile = Array(rest.prefix(length))
        let companion = withChecksum(of: profile, in: Array(rest.dropFirst(length)))
        guard
            let loaded = try? ProfileFile.decode(
                name: "fuzz", profile: profile, companion: companion.isEmpty ? nil : companion,
                wrappers: WrapperMatcher())
        else { return }
        let text = FinalReport.render(loaded.summary, layout: Layout(width: 80))
        Harness.expectPlainText(text)
        _ = try? ReportJSON.report(loaded.summary)
        _ = try? ProfileFile.encode(loaded)
        if loaded.summary.types == nil { return }
        for exporter in [TypesCSVExporter(), TypesJSONLinesExporter(), HTMLExporter()]
            as [any ProfileExporter]
        {
            _ = try? exporter.export(loaded, options: ExportOptions())
        }
        guard let sum = LoadedProfile.merged([loaded, loaded], name: "twice") else { return }
        let types = TypeDiffResult { () throws(TypeDiff.Absence) in try TypeDiff(old: [loaded], new: [sum]) }
        _ = DiffText.render(
            ProfileDiff(old: [loaded], new: [sum], by: .site), types: types, DiffTitle([loaded], [sum]),
            layout: Layout(width: 80), options: DiffOptions())
    }

    private static func withChecksum(of profile: [UInt8], in companion: [UInt8]) -> [UInt8] {
        let mark = Array("@CRC@".utf8)
        guard companion.count >= mark.count else { return companion }
        for place in 0...(companion.count - mark.count) where companion[place] == mark[0] {
            guard Array(companion[place..<place + mark.count]) == mark else { continue }
            let sum = UInt32(truncatingIfNeeded: crc32_z(0, profile, profile.count))
            return companion[..<place] + Array(String(sum).utf8) + companion[(place + mark.count)...]
        }
        return companion
    }
}

@main
enum Main {
    static func main() { Harness.drive(FuzzProfile.run) }
}
