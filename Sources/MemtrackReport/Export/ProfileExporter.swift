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
    /// JSON lines for databases: one row a site and checkpoint.
    case jsonl
    /// One self-contained page.
    case html
}

/// Choices that some formats have.
public struct ExportOptions: Sendable {
    /// The figure, for formats that have room for one.
    public var sampleType = SampleType.preferred
    /// The profile to compare with, for formats that can show a difference.
    public var base: LoadedProfile?

    public init() {}
}

/// Makes a file of a profile. Pure: a value in, bytes out; the command writes them.
public protocol ProfileExporter: Sendable {
    func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8]
}
