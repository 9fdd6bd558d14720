// SPDX-License-Identifier: Apache-2.0

/// The processes of other PID namespaces (containers, sandboxes, `unshare -p`) that are seen from here, at one moment: by the
/// number that each has in its own.
///
/// Sources: `/proc/PID/ns/pid`, and `NSpid:` in `status` (pid_namespaces(7)), which has the numbers of a process in
/// all namespaces that it is in, its own last.
public struct ForeignProcesses: Sendable {
    private struct Key: Hashable {
        var namespace: UInt64
        var pid: Int32
    }
    private var numbers: [Key: Int32] = [:]
    /// Processes of other namespaces, of which it cannot be read.
    private var hidden: [Int32: Int32] = [:]
    /// All processes that there are can be seen from here: we are in the first PID namespace.
    public let seesAll: Bool

    /// What is known of a process that has a number in a namespace.
    public enum Place: Sendable, Hashable {
        /// It has this number here.
        case here(Int32)
        case ended
        /// It may live, and be out of sight.
        case unknown
    }

    /// Looks at every process of the machine.
    public init(_ procfs: Procfs, own: UInt64) {
        seesAll = own == Self.firstNamespace
        guard let names = try? procfs.files.list(procfs.root) else { return }
        for name in names {
            guard let pid = Int32(name), pid > 0 else { continue }
            let namespace: UInt64?
            do throws(ProcfsError) {
                namespace = try procfs.pidNamespace(of: pid)
            } catch .noSuchProcess {
                continue
            } catch {
                namespace = nil
            }
            // Nobody is told where a dead process was that its parent has not collected yet.
            if namespace == own || (try? procfs.identity(of: pid))?.hasEnded != false { continue }
            guard let inner = procfs.numbers(of: pid), inner.count > 1, let last = inner.last else {
                continue
            }
            if let namespace {
                numbers[Key(namespace: namespace, pid: last)] = pid
            } else {
                hidden[last] = pid
            }
        }
    }

    public func place(of pid: Int32, in namespace: UInt64) -> Place {
        if let here = numbers[Key(namespace: namespace, pid: pid)] { return .here(here) }
        if hidden[pid] != nil { return .unknown }
        // Of a namespace some of whose processes are seen, all are; and of all, where this is the first.
        return seesAll || numbers.keys.contains { $0.namespace == namespace } ? .ended : .unknown
    }

    /// PROC_PID_INIT_INO, linux/proc_ns.h.
    private static let firstNamespace: UInt64 = 0xefff_fffc
}

extension Procfs {
    /// The numbers of a process in the PID namespaces that it is in, from ours to its own; nil where that cannot be read.
    public func numbers(of pid: Int32) -> [Int32]? {
        guard let text = try? read(pid, "status") else { return nil }
        for line in Lines(text) {
            guard let (key, value) = line.keyAndValue, key.text == "NSpid" else { continue }
            let fields = value.split { $0 == 0x20 || $0 == 0x09 }
            return fields.compactMap { field in field.decimal.flatMap { Int32(exactly: $0) } }
        }
        return nil
    }

    /// Whether a process has a file mapped; nil where that cannot be read.
    public func hasMapped(_ pid: Int32, inode: UInt64) -> Bool? {
        (try? maps(of: pid)).map { entries in entries.contains { $0.inode == inode } }
    }
}
