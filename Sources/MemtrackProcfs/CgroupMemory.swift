// SPDX-License-Identifier: Apache-2.0

/// Memory of the control group that a process runs in: the limit that counts inside a container.
///
/// Sources: cgroups(7), `/proc/PID/cgroup`, `/proc/PID/mountinfo` (proc(5)); for version 2
/// Documentation/admin-guide/cgroup-v2.rst of the kernel, for version 1 cgroup-v1/memory.rst.
public struct CgroupMemory: Sendable, Hashable {
    public enum Version: Sendable, Hashable { case v1, v2 }

    public var version: Version
    /// Directory of the group. Untrusted text.
    public var directory: String
    /// Bytes in use by all processes of the group, page cache included.
    public var current: UInt64
    /// The lowest limit of the group and those around it, in bytes; nil where there is none.
    public var limit: UInt64?

    public init(version: Version, directory: String, current: UInt64, limit: UInt64?) {
        self.version = version
        self.directory = directory
        self.current = current
        self.limit = limit
    }
}

/// Where the memory controller of a process is found: the result of reading `cgroup` and `mountinfo`.
struct CgroupPlace: Hashable {
    var version: CgroupMemory.Version
    /// Where the hierarchy is mounted.
    var mountPoint: String
    /// Path of the group below the mount point: empty, or with a leading slash and no trailing one.
    var group: String

    /// Lines of `cgroup`: `hierarchy:controllers:path`; version 2 is `0::path`. Lines of `mountinfo`:
    /// `id parent major:minor root mount-point options [tags…] - type source super-options`.
    /// A hybrid system has both kinds mounted: the memory controller is then where version 1 names it.
    init?(cgroup: [UInt8], mountinfo: [UInt8]) {
        var unified: ArraySlice<UInt8>?
        var legacy: ArraySlice<UInt8>?
        for line in Lines(cgroup) {
            // The path may itself hold colons.
            let fields = line.split(
                separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            if fields[0].elementsEqual("0".utf8), fields[1].isEmpty { unified = fields[2] }
            let controllers = fields[1].split(separator: UInt8(ascii: ","))
            if controllers.contains(where: { $0.elementsEqual("memory".utf8) }) { legacy = fields[2] }
        }
        guard let path = legacy ?? unified else { return nil }
        version = legacy == nil ? .v2 : .v1
        for line in Lines(mountinfo) {
            let fields = line.split(separator: 0x20)
            guard fields.count > 6,
                let dash = fields[6...].firstIndex(where: { $0.elementsEqual("-".utf8) }),
                fields.count > dash + 3
            else { continue }
            let options = fields[dash + 3].split(separator: UInt8(ascii: ","))
            let isWanted =
                switch version {
                case .v2: fields[dash + 1].elementsEqual("cgroup2".utf8)
                case .v1:
                    fields[dash + 1].elementsEqual("cgroup".utf8)
                        && options.contains { $0.elementsEqual("memory".utf8) }
                }
            guard isWanted else { continue }
            mountPoint = String(decoding: fields[4].unescaped(), as: UTF8.self)
            // A container may have its own group mounted as the root, while `cgroup` names it in full.
            let root = String(decoding: fields[3].unescaped(), as: UTF8.self)
            var group = path.text
            if root != "/", group == root || group.hasPrefix(root + "/") {
                group = String(group.dropFirst(root.count))
            }
            while group.hasSuffix("/") { group.removeLast() }
            self.group = group
            return
        }
        return nil
    }

    /// Directories from the group up to the mount point.
    var directories: [String] {
        var result: [String] = []
        var rest = Substring(group)
        while let slash = rest.lastIndex(of: "/") {
            result.append(mountPoint + rest)
            rest = rest[..<slash]
        }
        result.append(mountPoint)
        return result
    }
}

extension CgroupMemory {
    /// nil where the group has no memory controller (the root group has no figures in version 2).
    init?(place: CgroupPlace, files: FileAccess) {
        func number(_ path: String) -> UInt64? {
            guard let text = try? files.read(path) else { return nil }
            return Lines.first(of: text)?.trimmed.decimal
        }
        let (currentName, limitName) =
            place.version == .v2
            ? ("memory.current", "memory.max") : ("memory.usage_in_bytes", "memory.limit_in_bytes")
        // The first that has figures: the group named may lie outside of what is mounted here.
        for (index, directory) in place.directories.enumerated() {
            guard let current = number("\(directory)/\(currentName)") else { continue }
            // "max" (version 2) is no number; version 1 says "none" with the largest multiple of a page.
            let limits = place.directories[index...].compactMap { number("\($0)/\(limitName)") }
                .filter { $0 < UInt64(Int64.max) - 0xffff }
            self.init(version: place.version, directory: directory, current: current, limit: limits.min())
            return
        }
        return nil
    }
}
