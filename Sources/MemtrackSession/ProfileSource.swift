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

    /// - Parameter withTypes: of a process that runs, look at the objects too; saved profiles have theirs.
    public func load(
        wrappers: WrapperMatcher, withTypes: Bool = false,
        progress: @escaping ProfileBuilder.Progress = { _, _ in }
    ) throws -> LoadedProfile {
        func region(_ path: String, name: String) throws -> LoadedProfile {
            let summary = try RegionReport.summary(
                ofRegionAt: path, wrappers: wrappers, withTypes: withTypes, progress: progress)
            return LoadedProfile(name: name, summary: summary, producer: SavedProfile.producer)
        }
        switch self {
        case .file(let path):
            let bytes = try InputFile.contents(of: path, limit: ProfileFile.sizeLimit)
            if bytes.starts(with: Self.regionMagic) {
                return try region(path, name: path)
            }
            return try SavedProfile.decode(bytes, path: path, wrappers: wrappers)
        case .region(let path):
            return try region(path, name: path)
        case .pid(let pid):
            let path = try RegionCatalog().newest(pid: pid).path
            return try region(path, name: "PID \(pid)")
        }
    }

    /// MEMTRACK_MAGIC of region.h as it lies in the file.
    private static let regionMagic: [UInt8] = [0] + Array("MEMTRK1".utf8)
}
