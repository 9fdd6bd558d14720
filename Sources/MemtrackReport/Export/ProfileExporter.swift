// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// What `memtrack export --format` knows. Each is made by one `ProfileExporter`, in a file of its own.
public enum ExportFormat: String, Sendable, CaseIterable {
    /// profile.proto of pprof, gzipped.
    case pprof
    /// One stack a line, root first: flame graphs.
    case folded
    case speedscope
    /// Text that ms_print reads.
    case massif
    /// JSON that dh_view opens.
    case dhat
    /// The report's JSON: every site with all its stacks.
    case json
    /// One row a site.
    case csv
    /// One row an object type.
    case csvTypes = "csv-types"
    /// JSON lines for databases: one row a site and checkpoint.
    case jsonl
    /// The same, one row an object type.
    case jsonlTypes = "jsonl-types"
    /// One self-contained page.
    case html
}

/// Choices that some formats have.
public struct ExportOptions: Sendable {
    /// The figure, for formats that have room for one.
    public var sampleType = SampleType.preferred
    /// The profile to compare with, for formats that can show a difference.
    public var base: LoadedProfile?
    /// What tells this profile from others of a fleet, for formats that are rows of a table.
    public var labels: [ExportLabel] = []

    public init() {}
}

/// A name and a value that the user gives, such as `version` and `1.4`.
public struct ExportLabel: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// Makes a file of a profile. Pure: a value in, bytes out; the command writes them.
public protocol ProfileExporter: Sendable {
    func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8]
}
