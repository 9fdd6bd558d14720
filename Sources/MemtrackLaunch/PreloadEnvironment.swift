// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The environment in which the target starts. Source for the form of `LD_PRELOAD`: ld.so(8).
public enum PreloadEnvironment {
    /// `environment` with the library first in `LD_PRELOAD`, what the user had there behind it, and `settings`.
    ///
    /// The loader splits `LD_PRELOAD` at blanks and colons, and expands `$ORIGIN`, `$LIB` and `$PLATFORM`; nothing
    /// can be quoted. For a library path with one of these, `link` is asked to make something that stands
    /// for the library and to return its path; see `symbolicLink(in:)`.
    public static func prepare(
        _ environment: Environment, library: String, settings: [(name: String, value: String)],
        link: (_ library: String) throws(LaunchError) -> String
    ) throws(LaunchError) -> Environment {
        guard library.hasPrefix("/") else { throw .libraryPathNotAbsolute(path: library) }
        var path = library
        if !isUsable(path) {
            path = try link(library)
            guard path.hasPrefix("/"), isUsable(path) else {
                throw .libraryPathNotUsable(path: library, link: path)
            }
        }
        var result = environment
        let ours = RawString(path)
        let before = environment["LD_PRELOAD"]
        if let before, before.bytes.contains(where: { !isSeparator($0) }) {
            let first = before.bytes.split(whereSeparator: isSeparator).first
            // A launcher under a launcher: once is enough.
            result["LD_PRELOAD"] = first.map { Array($0) } == ours.bytes ? before : ours + ":" + before
        } else {
            result["LD_PRELOAD"] = ours
        }
        for (name, value) in settings { result[name] = RawString(value) }
        return result
    }

    /// Makes a symbolic link to the library in `directory` (the session's own, mode 0700); for `prepare`.
    public static func symbolicLink(
        in directory: String
    ) -> (_ library: String) throws(LaunchError) -> String {
        { library throws(LaunchError) in
            let link = directory + "/libmemtrack_preload.so"
            guard isUsable(link) else { return link }
            if symlink(library, link) != 0 {
                let code = errno
                var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
                let count = readlink(link, &target, target.count)
                let isOurs =
                    count >= 0
                    && target.prefix(count).map(UInt8.init(bitPattern:)).elementsEqual(library.utf8)
                guard code == EEXIST, isOurs else {
                    throw .cannotLinkLibrary(path: library, link: link, code: code)
                }
            }
            return link
        }
    }

    private static func isUsable(_ path: String) -> Bool {
        !path.utf8.contains { isSeparator($0) || $0 == UInt8(ascii: "$") }
    }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: ":")
    }
}
