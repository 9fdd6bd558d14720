// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import MemtrackProcfs
internal import MemtrackProfile

/// Programs that a counted one has started without a region in between (vfork, posix_spawn) and that run without the library:
/// an environment made from scratch has lost it, or the loader has no part in them (static ones, most of Go). Those that
/// took the place of a counted program are `UncountedPrograms`.
///
/// One that lives for less than two looks is not found.
final class UncountedChildren {
    private enum Reason { case environment, loader }

    private struct Found {
        var record: ProcessRecord
        var startTicks: UInt64
        var reason: Reason
    }

    private let procfs = Procfs()
    private let libraries: [String]
    private let program: Int32
    private var found: [Found] = []
    /// Seen once: it may be on its way into a program that is counted.
    private var candidates: [Int32: (startTicks: UInt64, executable: String, since: UInt64)] = [:]
    private var cost = CostLimit()

    /// For so long a program may be at its start.
    private static let patience: UInt64 = 200_000_000
    private static let limit = 1_000

    init(program: Int32) {
        self.program = program
        let other = getenv("MEMTRACK_PRELOAD_LIBRARY").map { Frame.baseName(String(cString: $0)) }
        libraries = [PreloadLibrary.fileName] + [other].compactMap { $0 }
    }

    /// - Parameter known: PIDs that have or had a region.
    func look(known: Set<Int32>) {
        let (now, start) = (Clocks.monotonicNanoseconds, Clocks.threadNanoseconds)
        guard cost.isDue(at: now), found.count < Self.limit else { return }
        defer { cost.spent(Clocks.threadNanoseconds &- start, until: now) }
        let own = (try? procfs.identity(of: program)).map { [$0] } ?? []
        var seen: [Int32: (startTicks: UInt64, executable: String, since: UInt64)] = [:]
        for process in own + procfs.descendants(of: program)
        where !process.hasEnded && !known.contains(process.pid) {
            guard let executable = try? procfs.executable(of: process.pid),
                let maps = try? procfs.maps(of: process.pid),
                !maps.contains(where: { libraries.contains(Frame.baseName($0.path)) }),
                !isKnown(process, executable)
            else { continue }
            let earlier = candidates[process.pid].flatMap {
                $0.startTicks == process.startTicks && $0.executable == executable ? $0.since : nil
            }
            if let earlier, now &- earlier > Self.patience {
                add(process, executable, at: earlier)
            } else {
                seen[process.pid] = (process.startTicks, executable, earlier ?? now)
            }
        }
        candidates = seen
        for index in found.indices { update(index) }
    }

    private func isKnown(_ process: ProcessIdentity, _ executable: String) -> Bool {
        found.contains {
            $0.record.pid == process.pid && $0.startTicks == process.startTicks
                && $0.record.executable == executable
        }
    }

    private func add(_ process: ProcessIdentity, _ executable: String, at moment: UInt64) {
        let hasLibrary = procfs.hasVariable("LD_PRELOAD", of: process.pid) ?? true
        found.append(
            Found(
                record: ProcessRecord(
                    pid: process.pid, parentPID: process.parentPID, executable: executable,
                    arguments: (try? procfs.commandLine(of: process.pid)) ?? [],
                    createdMonotonicNanoseconds: moment, isAlive: true),
                startTicks: process.startTicks, reason: hasLibrary ? .loader : .environment))
    }

    /// Its size, as long as it is there.
    private func update(_ index: Int) {
        let record = found[index].record
        let identity = try? procfs.identity(of: record.pid)
        found[index].record.isAlive =
            identity.map { !$0.hasEnded && $0.startTicks == found[index].startTicks } ?? false
            && (try? procfs.executable(of: record.pid)) == record.executable
        guard found[index].record.isAlive, let memory = try? procfs.memory(of: record.pid, withPSS: false)
        else { return }
        found[index].record.figures = ProcessFigures(memory, shim: nil)
    }

    /// The program has ended: who goes on?
    func finish() { for index in found.indices { update(index) } }

    /// As last seen.
    var records: [ProcessRecord] { found.map(\.record) }

    /// A sentence for each reason.
    func sentences(onlyAlive: Bool) -> [String] {
        let shown = found.filter { $0.record.isAlive || !onlyAlive }
        return [
            (
                Reason.environment,
                "its environment has lost the library, as with env -i; --follow-exec force puts it back."
            ),
            (
                Reason.loader,
                "the loader takes no library along: it is static (Go, say), set-user-ID, 32-bit or built for musl."
            ),
        ].compactMap { reason, text in
            let names = shown.filter { $0.reason == reason }.map {
                "\(Frame.baseName($0.record.executable)) (\($0.record.pid))"
            }
            if names.isEmpty { return nil }
            let more = names.count > 3 ? " and \(names.count - 3) more" : ""
            let verb = names.count == 1 ? "is" : "are"
            return names.prefix(3).joined(separator: ", ") + more + " \(verb) not counted: " + text
        }
    }
}
