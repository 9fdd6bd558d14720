// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackReport

/// Where a profile comes from, and how it is read.
public enum ProfileSource: Sendable {
    /// A saved profile, or a region that was left behind: the file says which.
    case file(String)
    case region(String)
    case pid(Int32)

    public func load(
        wrappers: WrapperMatcher, progress: @escaping ProfileBuilder.Progress = { _, _ in }
    ) throws -> LoadedProfile {
        switch self {
        case .file(let path), .region(let path):
            let summary = try RegionReport.summary(
                ofRegionAt: path, wrappers: wrappers, progress: progress)
            return LoadedProfile(name: path, summary: summary)
        case .pid(let pid):
            let path = try RegionCatalog().newest(pid: pid).path
            let summary = try RegionReport.summary(
                ofRegionAt: path, wrappers: wrappers, progress: progress)
            return LoadedProfile(name: "PID \(pid)", summary: summary)
        }
    }
}
