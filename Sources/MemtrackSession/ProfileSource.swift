// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackProfileFile
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
        case .file(let path):
            let bytes = try InputFile.contents(of: path, limit: ProfileFile.sizeLimit)
            if bytes.starts(with: Self.regionMagic) {
                return try Self.region(path, name: path, wrappers, progress)
            }
            return try SavedProfile.decode(bytes, path: path, wrappers: wrappers)
        case .region(let path):
            return try Self.region(path, name: path, wrappers, progress)
        case .pid(let pid):
            let path = try RegionCatalog().newest(pid: pid).path
            return try Self.region(path, name: "PID \(pid)", wrappers, progress)
        }
    }

    /// MEMTRACK_MAGIC of region.h as it lies in the file.
    private static let regionMagic: [UInt8] = [0] + Array("MEMTRK1".utf8)

    private static func region(
        _ path: String, name: String, _ wrappers: WrapperMatcher,
        _ progress: @escaping ProfileBuilder.Progress
    ) throws -> LoadedProfile {
        let summary = try RegionReport.summary(ofRegionAt: path, wrappers: wrappers, progress: progress)
        return LoadedProfile(name: name, summary: summary, producer: SavedProfile.producer)
    }
}
