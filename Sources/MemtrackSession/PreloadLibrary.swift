// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Where the library that gets preloaded is: beside the launcher, in the layout that `make install` makes.
public enum PreloadLibrary {
    public static let fileName = "libmemtrack_preload.so"

    /// - Parameters:
    ///   - executable: resolved path of the launcher.
    ///   - override: value of `MEMTRACK_PRELOAD_LIBRARY`, used as it is.
    public static func locate(executable: String, override: String?) throws(SessionError) -> String {
        if let override, !override.isEmpty {
            guard let path = resolved(override) else { throw .libraryMissing(searched: [override]) }
            return path
        }
        let directory = String(executable.prefix(upTo: executable.lastIndex(of: "/") ?? executable.startIndex))
        let candidates = [
            directory + "/../lib/memtrack/" + fileName,
            directory + "/" + fileName,
        ]
        for candidate in candidates {
            if let path = resolved(candidate) { return path }
        }
        throw .libraryMissing(searched: candidates)
    }

    private static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    /// Resolved path of the running program.
    public static var ownExecutable: String { resolved("/proc/self/exe") ?? "" }
}
