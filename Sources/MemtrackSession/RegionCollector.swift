// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProcfs
public import MemtrackProfile
public import MemtrackRegion
internal import MemtrackSymbols

/// Follows the regions of a session: finds new ones, reads the living, and folds those of images that have
/// ended into sums, so that neither memory nor the session directory grows with the number of processes.
///
/// An image has ended when its process has, or when the process has replaced itself by `exec`.
public final class RegionCollector {
    private struct Image {
        let name: RegionFileName
        let file: RegionFile
        let identity: RegionIdentity
    }

    private let directory: SessionDirectory
    private let procfs: Procfs
    private let builder: ProfileBuilder
    private let removesDead: Bool
    private var images: [Image] = []
    private var done: Set<RegionFileName> = []
    private var perfMaps: [Int32: PerfMap?] = [:]

    /// Sum of the ended images, as each stood at its end.
    private var ended = ProfileAccumulator()
    /// The same with nothing alive: what they add to the table of a session that goes on.
    private var settled = ProfileAccumulator()
    private var endedRecords: [ProcessRecord] = []
    private var lastFigures: [UInt64: ProcessFigures] = [:]
    private var seenMarkers: [UInt64: UInt64] = [:]

    /// Regions that could not be read, each with the reason; one line each.
    public private(set) var problems: [String] = []
    public var onProgress: (_ done: Int, _ total: Int) -> Void = { _, _ in }

    /// - Parameter removesDead: unlink a region once it has been folded; the launcher does, for its own session.
    public init(
        directory: SessionDirectory, builder: ProfileBuilder, procfs: Procfs = Procfs(), removesDead: Bool
    ) {
        self.directory = directory
        self.builder = builder
        self.procfs = procfs
        self.removesDead = removesDead
    }

    /// Images that are running now.
    public var livingPIDs: [Int32] { images.map(\.identity.pid) }
    /// True once any region has been seen: the library was loaded.
    public var hasSeenRegions: Bool { !images.isEmpty || !endedRecords.isEmpty }

    /// Finds new regions and folds those of ended images. Cheap where nothing has changed.
    public func sweep() {
        adoptNew()
        let dead = images.filter { !isRunning($0) }
        if dead.isEmpty { return }
        images.removeAll { image in dead.contains { $0.name == image.name } }
        for image in dead { fold(image) }
    }

    private func adoptNew() {
        let known = Set(images.map(\.name))
        for name in directory.regionFiles() where !known.contains(name) && !done.contains(name) {
            do throws(RegionError) {
                let file = try RegionFile(path: name.path)
                images.append(Image(name: name, file: file, identity: try file.identity()))
            } catch .notReady {
                continue  // being made at this very moment: next time
            } catch {
                done.insert(name)
                problems.append(error.description)
            }
        }
    }

    private func isRunning(_ image: Image) -> Bool {
        let identity = image.identity
        guard procfs.isAlive(pid: identity.pid, startTicks: identity.startTicks) else { return false }
        let isReplaced = images.contains { other in
            other.identity.pid == identity.pid && other.identity.startTicks == identity.startTicks
                && other.name.createdMonotonicNanoseconds > image.name.createdMonotonicNanoseconds
        }
        if isReplaced { return false }
        // Replaced by a program that the library cannot be loaded into.
        guard let executable = try? procfs.executable(of: identity.pid) else { return true }
        return executable == identity.executable || executable == identity.executable + " (deleted)"
    }

    private func fold(_ image: Image) {
        done.insert(image.name)
        do throws(RegionError) {
            let snapshot = try image.file.snapshot()
            let profile = profile(of: snapshot)
            ended.add(profile)
            settled.add(profile.settled)
            endedRecords.append(
                ProcessRecord(
                    identity: snapshot.identity, totals: profile.totals, isAlive: false,
                    figures: lastFigures[image.name.createdMonotonicNanoseconds]))
        } catch {
            problems.append(error.description)
        }
        if removesDead { try? directory.remove(image.name) }
    }

    private func profile(of snapshot: RegionSnapshot) -> Profile {
        let map = perfMap(of: snapshot.identity.pid)
        return builder.profile(
            of: snapshot, runtimeName: { address in map?.name(at: address) }, progress: onProgress)
    }

    /// What the runtime of a process says of code it made itself, if it says anything.
    private func perfMap(of pid: Int32) -> PerfMap? {
        if case .some(let known) = perfMaps[pid] { return known }
        perfMaps[pid] = .some(nil)
        guard let text = InputFile.bytes(of: "/tmp/perf-\(pid).map", limit: 64 << 20) else { return nil }
        let map = PerfMap(parsing: text)
        perfMaps[pid] = map
        return map
    }

    /// The state of the session.
    public struct View {
        /// Living images, and what the ended ones allocated.
        public var profile: Profile
        /// The same with what the ended images left unfreed: for a final report.
        public var final: Profile
        /// All images in order of their start.
        public var records: [ProcessRecord]
        /// Set since the last view.
        public var markers: [RegionMarker]
        public var gauges: [RegionGauge]
        /// Memory of the shim by process.
        public var shim: [Int32: ShimUse]
    }

    /// What the shim uses in one process, in bytes.
    public struct ShimUse {
        public var resident: UInt64
        public var addressSpace: UInt64
    }

    /// Reads all living images.
    /// - Parameter figures: of a process, where they are known; kept for the time when it has ended.
    public func view(figures: (Int32) -> ProcessFigures? = { _ in nil }) -> View {
        sweep()
        var current = settled
        var all = ended
        var records = endedRecords
        var markers: [RegionMarker] = []
        var gauges: [RegionGauge] = []
        var shim: [Int32: ShimUse] = [:]
        for image in images {
            do throws(RegionError) {
                let snapshot = try image.file.snapshot()
                let profile = profile(of: snapshot)
                current.add(profile)
                all.add(profile)
                let key = image.name.createdMonotonicNanoseconds
                let known = figures(snapshot.identity.pid) ?? lastFigures[key]
                lastFigures[key] = known
                records.append(
                    ProcessRecord(
                        identity: snapshot.identity, totals: profile.totals, isAlive: true, figures: known))
                markers += newMarkers(snapshot, key: key)
                gauges += snapshot.gauges
                shim[snapshot.identity.pid] = shimUse(pid: snapshot.identity.pid, try image.file.ownMemory())
            } catch {
                problems.append(error.description)
            }
        }
        records.sort { $0.createdMonotonicNanoseconds < $1.createdMonotonicNanoseconds }
        return View(
            profile: current.profile, final: all.profile, records: records, markers: markers, gauges: gauges,
            shim: shim)
    }

    /// What the shim uses in each living process; without reading the tables.
    public func shimUse() -> [Int32: ShimUse] {
        var uses: [Int32: ShimUse] = [:]
        for image in images {
            if let own = try? image.file.ownMemory() {
                uses[image.identity.pid] = shimUse(pid: image.identity.pid, own)
            }
        }
        return uses
    }

    private func shimUse(pid: Int32, _ own: RegionOwnMemory) -> ShimUse {
        let ranges = own.mappings.map { $0.start..<($0.start + $0.bytes) }
        return ShimUse(
            resident: own.regionBytes + (procfs.residentBytes(of: pid, ranges: ranges) ?? 0),
            addressSpace: own.reservedBytes)
    }

    private func newMarkers(_ snapshot: RegionSnapshot, key: UInt64) -> [RegionMarker] {
        let seen = seenMarkers[key] ?? 0
        let new = snapshot.markers.filter { $0.monotonicNanoseconds > seen }
        if let last = new.map(\.monotonicNanoseconds).max() { seenMarkers[key] = last }
        return new
    }
}
