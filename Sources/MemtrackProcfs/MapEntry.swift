// SPDX-License-Identifier: Apache-2.0

/// One mapping of a process: a line of `/proc/PID/maps`, proc(5):
/// `start-end perms offset major:minor inode   path`.
public struct MapEntry: Sendable, Hashable {
    public var start: UInt64
    /// First address after it.
    public var end: UInt64
    /// `r` `w` `x` and `p` (private) or `s` (shared); `-` for what is not allowed.
    public var permissions: String
    public var offset: UInt64
    public var deviceMajor: UInt32
    public var deviceMinor: UInt32
    public var inode: UInt64
    /// As the kernel prints it: a path, perhaps followed by ` (deleted)`; `[heap]` and the like; empty for
    /// anonymous memory. A newline in a path is `\n` here. Untrusted text.
    public var path: String

    /// The file has been removed or replaced since. (A file whose own name ends so cannot be told apart.)
    public var isDeleted: Bool { path.hasPrefix("/") && path.hasSuffix(Self.deletedMark) }

    /// Path of the mapped file, without the mark for deleted ones; nil for memory without a file.
    public var filePath: String? {
        guard path.hasPrefix("/") else { return nil }
        return isDeleted ? String(path.dropLast(Self.deletedMark.count)) : path
    }

    private static let deletedMark = " (deleted)"

    /// nil where the line is not in the form above. The path is all that follows the fifth field and the
    /// blanks after it, so it keeps the blanks of its own.
    init?(line: ArraySlice<UInt8>) {
        var rest = line
        func field() -> ArraySlice<UInt8> {
            let field = rest.prefix { $0 != 0x20 }
            rest = rest[field.endIndex...].drop { $0 == 0x20 }
            return field
        }
        let range = field().split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        let permissions = field()
        let offset = field()
        let device = field().split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let inode = field()
        guard range.count == 2, device.count == 2, permissions.count == 4,
            let start = range[0].hexadecimal, let end = range[1].hexadecimal, start <= end,
            let offset = offset.hexadecimal, let inode = inode.decimal,
            let major = device[0].hexadecimal.flatMap({ UInt32(exactly: $0) }),
            let minor = device[1].hexadecimal.flatMap({ UInt32(exactly: $0) })
        else { return nil }
        self.start = start
        self.end = end
        self.permissions = permissions.text
        self.offset = offset
        self.deviceMajor = major
        self.deviceMinor = minor
        self.inode = inode
        // Only newlines are escaped in this file; a backslash stands for itself.
        self.path = String(decoding: rest.unescaped(only: [0x0a]), as: UTF8.self)
    }

    /// All mappings in the text of `/proc/PID/maps`, by rising address.
    static func parse(maps: [UInt8], path: String) throws(ProcfsError) -> [MapEntry] {
        var entries: [MapEntry] = []
        for line in Lines(maps) {
            guard let entry = MapEntry(line: line) else {
                throw .malformed(path: path, reason: "unexpected line '\(line.prefix(80).text)'")
            }
            entries.append(entry)
        }
        return entries
    }
}
