// SPDX-License-Identifier: Apache-2.0
internal import MemtrackLaunch
internal import MemtrackProcfs
internal import MemtrackProfile
internal import MemtrackRegion

/// Programs that an exec has put into the place of counted ones, and that are not counted: static ones, those that start with an
/// environment made from scratch. Nothing would be seen of them but that nothing is live.
///
/// Between the exec and its region a program is in the loader: so one is believed to have none after a second, or at its end.
final class UncountedPrograms {
    private struct Suspect {
        var since: UInt64
        var was: RegionIdentity
        var identity: ProcessIdentity
        var path: String
        /// nil where that cannot be read.
        var hasLibrary: Bool?
    }

    private static let patience: UInt64 = 1_000_000_000
    private static let notesKept = 5

    private let procfs: Procfs
    private var suspects: [Suspect] = []
    private var found: [(record: ProcessRecord, identity: ProcessIdentity, note: String)] = []

    init(procfs: Procfs) { self.procfs = procfs }

    var records: [ProcessRecord] { found.map(\.record) }

    /// A sentence each.
    var notes: [String] {
        let shown = found.prefix(Self.notesKept).map(\.note)
        let more = found.count - shown.count
        return shown + (more > 0 ? ["\(more) more programs that exec started are not counted."] : [])
    }

    /// The process of a region runs another program now, and has no other region yet.
    func suspect(_ was: RegionIdentity, at now: UInt64) {
        guard let identity = try? procfs.identity(of: was.pid), !identity.hasEnded,
            let path = try? procfs.executable(of: was.pid)
        else { return }
        // What it was before that has been replaced by what it was now.
        suspects.removeAll { $0.was.pid == was.pid }
        found.removeAll { $0.record.pid == was.pid }
        suspects.append(
            Suspect(
                since: now, was: was, identity: identity, path: path,
                hasLibrary: procfs.environment(of: was.pid).map { entries in
                    entries.contains { $0.hasPrefix("LD_PRELOAD=") && $0.contains("memtrack") }
                }))
    }

    /// - Parameter counted: processes that have a region.
    func look(counted: Set<Int32>, at now: UInt64) {
        if suspects.isEmpty && found.isEmpty { return }
        suspects.removeAll { counted.contains($0.was.pid) }
        found.removeAll { counted.contains($0.record.pid) }
        for suspect in suspects where !isAlive(suspect.identity) || now > suspect.since &+ Self.patience {
            found.append((record(of: suspect), suspect.identity, Self.note(on: suspect)))
        }
        suspects.removeAll { suspect in found.contains { $0.identity == suspect.identity } }
        for index in found.indices where found[index].record.isAlive {
            let identity = found[index].identity
            found[index].record.isAlive = isAlive(identity)
            if let memory = try? procfs.memory(of: identity.pid, withPSS: false), memory.rss > 0 {
                found[index].record.figures = ProcessFigures(memory, shim: nil)
            }
        }
    }

    private func isAlive(_ identity: ProcessIdentity) -> Bool {
        guard let now = try? procfs.identity(of: identity.pid) else { return false }
        return !now.hasEnded && now.startTicks == identity.startTicks
    }

    private func record(of suspect: Suspect) -> ProcessRecord {
        ProcessRecord(
            pid: suspect.was.pid, parentPID: suspect.identity.parentPID, executable: suspect.path,
            arguments: (try? procfs.commandLine(of: suspect.was.pid)) ?? [],
            createdMonotonicNanoseconds: suspect.since, isAlive: true)
    }

    private static func note(on suspect: Suspect) -> String {
        let name = Frame.baseName(suspect.path)
        let was = Frame.baseName(suspect.was.executable)
        let start = "\(was) (\(suspect.was.pid)) became \(name), which is not counted: "
        let inspection = try? TargetInspector(environment: .current()).inspect(RawString(suspect.path))
        if let warning = inspection?.warnings.first(where: \.preventsPreload) { return start + "\(warning)." }
        if suspect.hasLibrary == false {
            return start
                + "its environment was made from scratch; --follow-exec force counts such programs too."
        }
        return start
            + "it has made no region, for want of room (df /dev/shm, ulimit -f, ulimit -v) or of a loader that preloads."
    }
}

extension Procfs {
    /// What it was started with; nil where that cannot be read.
    fileprivate func environment(of pid: Int32) -> [String]? {
        environmentText(of: pid).map { $0.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } }
    }
}
