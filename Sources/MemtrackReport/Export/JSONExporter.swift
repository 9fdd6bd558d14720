// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// The JSON of the final report.
public struct JSONExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        try ReportJSON.report(profile.summary)
    }
}
