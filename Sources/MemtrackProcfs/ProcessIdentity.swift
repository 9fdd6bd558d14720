// SPDX-License-Identifier: Apache-2.0

/// Which process this is. PIDs are reused; the pair (pid, startTicks) is not, until the next boot.
public struct ProcessIdentity: Sendable, Hashable {
    public var pid: Int32
    public var parentPID: Int32
    /// Field 22 of `/proc/PID/stat`: start of the process in clock ticks after boot.
    public var startTicks: UInt64
    /// Name of the main thread, at most 15 bytes. Untrusted text.
    public var comm: String
    /// One letter: R running, S sleeping, D waiting for a device, T stopped, t traced, Z zombie, X dead, I idle.
    public var state: Character

    public init(pid: Int32, parentPID: Int32, startTicks: UInt64, comm: String, state: Character) {
        self.pid = pid
        self.parentPID = parentPID
        self.startTicks = startTicks
        self.comm = comm
        self.state = state
    }

    /// It has ended; what is left is the entry that its parent has not collected.
    public var hasEnded: Bool { state == "Z" || state == "X" || state == "x" }
}

extension ProcessIdentity {
    /// Reads the text of `/proc/PID/stat`, proc(5): `pid (comm) state ppid …`. The name may hold blanks,
    /// parentheses and newlines, unescaped, so it ends at the *last* closing parenthesis.
    init(stat: [UInt8], path: String) throws(ProcfsError) {
        guard let open = stat.firstIndex(of: UInt8(ascii: "(")),
            let close = stat.lastIndex(of: UInt8(ascii: ")")), open < close
        else { throw .malformed(path: path, reason: "the name is not in parentheses") }
        let fields = stat[(close + 1)...].split { $0 == 0x20 || $0 == 0x0a }
        // fields[0] is field 3 of the man page.
        guard fields.count > 19 else {
            throw .malformed(path: path, reason: "only \(fields.count + 2) fields, expected at least 22")
        }
        guard let pid = stat[..<open].trimmed.decimal.flatMap({ Int32(exactly: $0) }) else {
            throw .malformed(path: path, reason: "field 1 is no process id")
        }
        guard fields[0].count == 1, let state = fields[0].text.first else {
            throw .malformed(path: path, reason: "field 3 is no state letter")
        }
        guard let parent = fields[1].decimal.flatMap({ Int32(exactly: $0) }) else {
            throw .malformed(path: path, reason: "field 4 is no process id")
        }
        guard let start = fields[19].decimal else {
            throw .malformed(path: path, reason: "field 22 is no number")
        }
        self.init(
            pid: pid, parentPID: parent, startTicks: start, comm: stat[(open + 1)..<close].text, state: state)
    }
}
