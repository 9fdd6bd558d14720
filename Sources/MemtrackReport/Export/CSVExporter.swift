// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// One row a site, sorted by live bytes: function, file, line, module, then the counters under the names of the JSON.
public struct CSVExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        Array(Self.sites(profile.profile.sites).utf8)
    }

    static let counterNames = [
        "allocations", "allocatedBytes", "frees", "freedBytes", "liveBlocks", "liveBytes", "peakBlocks",
        "peakBytes", "temporaryAllocations",
    ]

    static func counters(_ counters: Counters) -> [String] {
        [
            "\(counters.allocations)", "\(counters.allocatedBytes)", "\(counters.frees)",
            "\(counters.freedBytes)", "\(counters.liveBlocks)", "\(counters.liveBytes)",
            "\(counters.peakBlocks)", "\(counters.peakBytes)", "\(counters.temporary)",
        ]
    }

    static func sites(_ sites: [Site]) -> String {
        var csv = CSV()
        csv.row(["function", "file", "line", "module"] + counterNames)
        for site in sites {
            csv.row(
                [
                    CSV.text(site.frame.function), CSV.text(site.frame.file ?? ""),
                    site.frame.line.map(String.init) ?? "", CSV.text(site.frame.module),
                ] + counters(site.counters))
        }
        return csv.text
    }
}
