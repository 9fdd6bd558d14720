// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProfile
internal import MemtrackProfileFile

/// A profile on disk: the pprof file, and its companion beside it.
public enum SavedProfile {
    /// What the files say they were made by.
    public static let producer = "memtrack 0.1.0"

    /// Where the companion of a profile is.
    public static func companionPath(of path: String) -> String { ProfileFile.companionPath(of: path) }

    /// Writes both files, each whole or not at all: a reader never sees half a profile.
    public static func write(_ loaded: LoadedProfile, to path: String) throws(SessionError) {
        var loaded = loaded
        loaded.producer = loaded.producer ?? producer
        let encoded: ProfileFile.Encoded
        do throws(ProfileFileError) {
            encoded = try ProfileFile.encode(loaded)
        } catch {
            throw .unusableProfile(path: path, reason: error.reason)
        }
        // Before anything is written, and by the name that the user has given.
        try OutputFile.check(path)
        // The companion first: where there is a profile, its companion is there too.
        do throws(SessionError) {
            try OutputFile.replace(ProfileFile.companionPath(of: path), with: encoded.companion)
        } catch {
            guard case .cannotWrite(let companion, let code) = error else { throw error }
            throw .cannotWrite(path: "\(path), whose companion is \(companion)", errno: code)
        }
        try OutputFile.replace(path, with: encoded.profile)
    }

    /// The profile alone, for other tools.
    public static func pprof(_ loaded: LoadedProfile) throws(SessionError) -> [UInt8] {
        do throws(ProfileFileError) {
            return try ProfileFile.pprof(loaded)
        } catch {
            throw .unusableProfile(path: loaded.name, reason: error.reason)
        }
    }

    static func decode(
        _ bytes: [UInt8], path: String, wrappers: WrapperMatcher
    ) throws(SessionError) -> LoadedProfile {
        var companion: [UInt8]?
        var unread: String?
        do throws(SessionError) {
            companion = try InputFile.contents(
                of: ProfileFile.companionPath(of: path), limit: ProfileFile.companionSizeLimit)
        } catch {
            unread = error.companionReason
        }
        do throws(ProfileFileError) {
            return try ProfileFile.decode(
                name: path, profile: bytes, companion: companion, wrappers: wrappers, unread: unread)
        } catch .companion {
            throw .unusableProfile(path: path, reason: companionReason(path))
        } catch {
            throw .unusableProfile(path: path, reason: error.reason)
        }
    }

    /// Names the profile, where it is where it should be.
    private static func companionReason(_ path: String) -> String {
        let stem = path.hasSuffix(".json") ? String(path.dropLast(5)) : path
        let profile = [".pb.gz", ".pprof", ""].map { stem + $0 }.first { candidate in
            ProfileFile.companionPath(of: candidate) == path && access(candidate, F_OK) == 0
        }
        guard let profile else { return ProfileFileError.companion.reason }
        return "it is the companion of \(profile), which is the profile; give that"
    }
}

extension SessionError {
    /// Why a companion is not read, as the end of a sentence about it; nil where there is none.
    fileprivate var companionReason: String? {
        switch self {
        case .cannotRead(_, let code) where code == ENOENT: nil
        case .cannotRead(_, let code): "cannot be read (\(String(cString: strerror(code))))"
        case .tooLarge(_, let limit): "has more than \(limit >> 20) MB and is not read"
        default: "cannot be read"
        }
    }
}
