// SPDX-License-Identifier: Apache-2.0

/// Why the bytes of a file are no profile that can be shown.
public enum ProfileFileError: Error, Sendable, Hashable {
    case empty
    /// Neither gzip nor profile.proto.
    case notAProfile
    /// The companion of one.
    case companion
    /// The compressed data end early.
    case truncated
    /// The compressed data are wrong from somewhere on.
    case damagedCompression
    /// More than is taken of any file: `what` there is too much of, and the most there may be.
    case tooLarge(what: String, limit: Int)
    /// The records contradict each other.
    case damaged(reason: String)
    /// A profile, but of something else, such as CPU time.
    case noMemoryFigures(types: [String])
    case encoding(reason: String)

    /// A sentence's end: follows the file's name and a colon.
    public var reason: String {
        switch self {
        case .empty: "it is empty; give a file that memtrack-preload --output has written"
        case .companion:
            "it is what lies beside a profile and says more of it; give the profile, which ends in .pb.gz"
        case .notAProfile: "it is no pprof profile; give a file that memtrack-preload --output has written"
        case .truncated: "it ends early: copy it again, or look whether the disk was full when it was written"
        case .damagedCompression: "its compressed data are damaged; copy it again"
        case .tooLarge(let what, let limit):
            "it has more than \(limit) \(what), which no profile needs: it is damaged, or made to do harm"
        case .damaged(let reason): "it is damaged: \(reason)"
        case .noMemoryFigures(let types):
            "it is a profile of \(types.isEmpty ? "nothing" : types.joined(separator: ", ")), not of memory; "
                + "give one with alloc_space or inuse_space"
        case .encoding(let reason): "the profile could not be encoded: \(reason)"
        }
    }
}
