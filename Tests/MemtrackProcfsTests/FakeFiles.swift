// SPDX-License-Identifier: Apache-2.0

import Glibc

@testable import MemtrackProcfs

/// A /proc made of texts. What is not there fails with ENOENT, like the real one.
struct FakeFiles {
    var texts: [String: [UInt8]] = ["/proc/self": []]
    var links: [String: String] = [:]
    var failures: [String: Int32] = [:]
    var signalResult: Int32 = ESRCH

    subscript(path: String) -> String {
        get { String(decoding: texts[path] ?? [], as: UTF8.self) }
        set { texts[path] = Array(newValue.utf8) }
    }

    mutating func addProcess(
        _ pid: Int, parent: Int, start: Int = 100, comm: String = "x", state: String = "S"
    ) {
        texts["/proc/\(pid)"] = []
        self["/proc/\(pid)/stat"] =
            "\(pid) (\(comm)) \(state) \(parent) 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 \(start) 0 0\n"
    }

    var procfs: Procfs {
        let copy = self
        let names = Set(texts.keys).union(links.keys).union(failures.keys)
        return Procfs(
            root: "/proc",
            files: FileAccess(
                read: { path throws(FileFailure) in
                    if let code = copy.failures[path] { throw FileFailure(code: code) }
                    guard let text = copy.texts[path] else { throw FileFailure(code: ENOENT) }
                    return text
                },
                list: { path throws(FileFailure) in
                    let prefix = path + "/"
                    let inside = names.filter { $0.hasPrefix(prefix) }.map { $0.dropFirst(prefix.count) }
                    guard !inside.isEmpty else { throw FileFailure(code: ENOENT) }
                    return Set(inside.map { String($0.prefix { $0 != "/" }) }).sorted(by: >)
                },
                readLink: { path throws(FileFailure) in
                    if let code = copy.failures[path] { throw FileFailure(code: code) }
                    guard let text = copy.links[path] else { throw FileFailure(code: ENOENT) }
                    return text
                },
                exists: { path in names.contains(path) },
                probe: { _ in copy.signalResult }))
    }
}
