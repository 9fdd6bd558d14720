// SPDX-License-Identifier: Apache-2.0

extension Procfs {
    /// More than any machine should run under one program; a bound, not a promise.
    static let descendantLimit = 32_768

    /// Children of `pid`, their children and so on, without `pid` itself: each parent before its children,
    /// and those in the order of their start. Zombies are included. A process whose parent ended before it
    /// (a daemon) belongs to somebody else and is not found.
    ///
    /// Processes that come and go meanwhile may be missing, never twice in the list. Source:
    /// `/proc/PID/task/*/children` (proc(5); CONFIG_PROC_CHILDREN), else one pass over all of `/proc/*/stat`.
    public func descendants(of pid: Int32) -> [ProcessIdentity] {
        let children: (Int32) -> [ProcessIdentity]
        if files.exists("\(root)/\(pid)/task/\(pid)/children") {
            children = childrenFromTasks
        } else {
            let table = childrenByParent()
            children = { table[$0] ?? [] }
        }
        func inOrder(_ identities: [ProcessIdentity]) -> [ProcessIdentity] {
            // Last first: the list is used as a stack.
            identities.sorted { ($0.startTicks, $0.pid) > ($1.startTicks, $1.pid) }
        }
        var result: [ProcessIdentity] = []
        var seen: Set<Int32> = [pid]
        var waiting = inOrder(children(pid))
        while let next = waiting.popLast(), result.count < Self.descendantLimit {
            guard seen.insert(next.pid).inserted else { continue }
            result.append(next)
            waiting += inOrder(children(next.pid))
        }
        return result
    }

    /// A child belongs to the thread that made it, so all threads are asked.
    private func childrenFromTasks(of pid: Int32) -> [ProcessIdentity] {
        guard let tasks = try? files.list("\(root)/\(pid)/task") else { return [] }
        var identities: [ProcessIdentity] = []
        for task in tasks {
            guard let text = try? files.read("\(root)/\(pid)/task/\(task)/children") else { continue }
            for word in text.split(whereSeparator: { $0 == 0x20 || $0 == 0x0a }) {
                guard let child = word.decimal.flatMap({ Int32(exactly: $0) }),
                    let identity = try? identity(of: child)
                else { continue }
                identities.append(identity)
            }
        }
        return identities
    }

    private func childrenByParent() -> [Int32: [ProcessIdentity]] {
        guard let names = try? files.list(root) else { return [:] }
        var table: [Int32: [ProcessIdentity]] = [:]
        for name in names {
            guard let pid = Int32(name), pid > 0, let identity = try? identity(of: pid) else { continue }
            table[identity.parentPID, default: []].append(identity)
        }
        return table
    }
}
