// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackLaunch

/// Where the library that gets preloaded is: beside the launcher, in the layout that `make install` makes.
public enum PreloadLibrary {
    public static let fileName = "libmemtrack_preload.so"

    /// - Parameters:
    ///   - executable: resolved path of the launcher.
    ///   - override: value of `MEMTRACK_PRELOAD_LIBRARY`, taken in place of the library found.
    public static func locate(executable: String, override: String?) throws(SessionError) -> String {
        if let override, !override.isEmpty {
            guard let path = resolved(override) else { throw .libraryMissing(searched: [override]) }
            if let reason = flaw(of: path) { throw .libraryUnusable(path: path, reason: reason) }
            return path
        }
        let directory = String(
            executable.prefix(upTo: executable.lastIndex(of: "/") ?? executable.startIndex))
        let candidates = [
            directory + "/../lib/memtrack/" + fileName,
            directory + "/" + fileName,
        ]
        for candidate in candidates {
            guard let path = resolved(candidate) else { continue }
            if let reason = flaw(of: path) { throw .libraryUnusable(path: path, reason: reason) }
            return path
        }
        throw .libraryMissing(searched: candidates)
    }

    /// Why the loader would refuse a file: it says so in the target's own output, and goes on without.
    private static func flaw(of path: String) -> String? {
        if access(path, R_OK) != 0 { return String(cString: strerror(errno)) }
        guard let head = head(of: path), head.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else {
            return "it is no ELF file"
        }
        guard let own = ownHead, head[4] == own[4], head[5] == own[5], head[18...] == own[18...] else {
            return "it is built for another processor or word size"
        }
        // e_type, ET_DYN.
        return head[16] == 3 ? nil : "it is no shared library"
    }

    private static var ownHead: [UInt8]? { head(of: ownExecutable) }

    /// The first 20 bytes of an ELF header: identification, type, machine (elf(5)).
    private static func head(of path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 20)
        return read(descriptor, &bytes, bytes.count) == bytes.count ? bytes : nil
    }

    private static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    /// Resolved path of the running program.
    public static var ownExecutable: String {
        resolved("/proc/self/exe") ?? startedPath().flatMap(resolved) ?? ""
    }
}
