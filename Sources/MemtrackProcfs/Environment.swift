// SPDX-License-Identifier: Apache-2.0

extension Procfs {
    /// Processes that live, have a higher PID than `pid`, and were started with `entry` (`NAME=value`) in their environment;
    /// a forked process has that of the program it was forked from. Those of other users cannot be read and are left out.
    ///
    /// PIDs are given out in turn: of the processes that came after another one only those after a wrap are missed, and
    /// the thousands of a busy machine that were there before are not read. Source: `/proc/PID/environ`, proc(5).
    public func processes(above pid: Int32, startedWith entry: String) -> [Int32] {
        guard let names = try? files.list(root) else { return [] }
        let entry = Array(entry.utf8)
        return names.compactMap { Int32($0) }.filter { candidate in
            guard candidate > pid, let environment = try? read(candidate, "environ") else { return false }
            return environment.split(separator: 0).contains { $0.elementsEqual(entry) }
        }
    }
}
