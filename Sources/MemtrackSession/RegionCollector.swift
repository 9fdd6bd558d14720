// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProcfs
public import MemtrackProfile
public import MemtrackRegion
internal import MemtrackSymbols

/// Follows the regions of a session: finds new ones, reads the living, and folds those of images that have
/// ended into sums, so that neither memory nor the session directory grows with the number of processes.
///
/// An image has ended when its process has, or when the process has replaced itself by `exec`. Reading is
/// quick and naming functions is not, so they are apart: `capture` is the moment, `view` the work.
public final class RegionCollector {
    fileprivate final class Image {
        let name: RegionFileName
        let file: RegionFile
        let identity: RegionIdentity
        let place: Whereabouts.Place
        /// Last known; without what the shim uses.
        var figures: ProcessFigures?
        /// Private memory of the shim that is resident.
        var privateBytes: UInt64 = 0
        /// Time of the last one seen, and how many were set until then.
        var seenMarkers: UInt64 = 0
        var setMarkers = 0
        var isWarm = false
        var stacks = NodeStacks()
        /// Of when it waited at its end.
        var last: Reading?
        /// The program's own, which ended with its process, not by exec.
        var endedTheProgram = false
        /// Its process became another program, and what it held went with it.
        var wasReplaced = false

        init(name: RegionFileName, file: RegionFile, identity: RegionIdentity, place: Whereabouts.Place) {
            self.name = name
            self.file = file
            self.identity = identity
            self.place = place
        }

        /// The same process, after an exec. A later process of that number finds this one looked at and forgotten.
        func isSuccessor(of other: Image) -> Bool {
            identity.pid == other.identity.pid && identity.pidNamespace == other.identity.pidNamespace
                && identity.origin == .exec && isNewer(than: other)
        }

        /// By the clock that nobody sets; by the other one where an exec into a time namespace has moved that.
        private func isNewer(than other: Image) -> Bool {
            let monotonic = Int64(
                truncatingIfNeeded: identity.createdMonotonicNanoseconds
                    &- other.identity.createdMonotonicNanoseconds)
            let real = Int64(
                truncatingIfNeeded: identity.createdRealtimeNanoseconds
                    &- other.identity.createdRealtimeNanoseconds)
            return (monotonic &- real).magnitude < 1_000_000_000 ? monotonic > 0 : real > 0
        }
    }

    fileprivate struct Reading {
        var image: Image
        var snapshot: RegionSnapshot
        var census: ObjectCensus.Outcome?
    }

    /// Living images as they were at one moment.
    public struct Capture {
        fileprivate var readings: [Reading]
    }

    private let directory: SessionDirectory
    private let procfs: Procfs
    private let builder: ProfileBuilder
    private let removesDead: Bool
    private let family: ProcessFamily?
    private let whereabouts: Whereabouts
    private let uncounted: UncountedPrograms
    private let perfMaps = PerfMaps()
    private var images: [Image] = []
    private var done: Set<RegionFileName> = []

    /// Images that have ended, read and not yet folded.
    private var waiting: [Reading] = []
    /// Sum of the ended images, as each stood at its end. Without a table: it would have to be copied whenever the
    /// next image has a new stack.
    private var ended = ProfileAccumulator()
    /// From the moment on at which the program ended: see `SessionView`.
    private var endedWithProgram: ProfileAccumulator?
    private var endedRecords: [ProcessRecord] = []
    private var newMarkers: [RegionMarker] = []
    private var missedMarkers = 0
    private var endedGauges: [RegionGauge] = []
    private var endedTypes: TypeAccumulator?
    /// Programs whose objects were looked at when they ended.
    public private(set) var lastCensuses: Set<Int32> = []

    private var hasBeenFull = false
    private var hasLooked = false
    private var shimUseCost = CostLimit()
    /// Process images that found no room for a region, and left a trace.
    public private(set) var lostProcesses: UInt64 = 0

    private var unreadable: [String] = []
    /// Regions that could not be read, and programs that have none, each with the reason; one line each.
    public var problems: [String] { unreadable + uncounted.notes }
    /// Of these, what says why a figure of a checkpoint is less than one would expect.
    public var uncountedNotes: [String] { uncounted.notes }
    /// How the objects of each kind of Python interpreter came to be counted, a sentence for each.
    public private(set) var pythons: Set<PythonNote> = []
    /// The program: its process as it was started, or is watched.
    public var program: Int32?
    /// Says what the objects of a process are; nil where nobody asked.
    public var census: ObjectCensus?
    public var onProgress: (_ done: Int, _ total: Int) -> Void = { _, _ in }

    /// - Parameters:
    ///   - removesDead: unlink a region once it has been folded; the launcher does, for its own session.
    ///   - family: read the regions of this process and its descendants, and of no others.
    public init(
        directory: SessionDirectory, builder: ProfileBuilder, procfs: Procfs = Procfs(), removesDead: Bool,
        family: Int32? = nil
    ) {
        self.directory = directory
        self.builder = builder
        self.procfs = procfs
        self.removesDead = removesDead
        whereabouts = Whereabouts(procfs: procfs)
        uncounted = UncountedPrograms(procfs: procfs)
        self.family = family.map { ProcessFamily(of: $0, procfs: procfs) }
    }

    /// Images that are running now.
    public var livingPIDs: [Int32] { images.map(\.identity.pid) }
    /// True once any region has been seen: the library was loaded.
    public var hasSeenRegions: Bool { !images.isEmpty || !endedRecords.isEmpty || !waiting.isEmpty }

    /// Finds new regions, folds those of ended images, and looks how large the living are. Cheap where nothing
    /// has changed: no region is read.
    /// - Returns: whether an image has come or gone.
    @discardableResult
    public func sweep() -> Bool {
        let hasChanged = update()
        fold()
        for image in images { observe(image) }
        return hasChanged
    }

    /// The part of a sweep that costs nothing: for the time while names are being looked up, in which short-lived
    /// processes would come and go unseen.
    public func glance() {
        update()
        for image in images { observe(image) }
    }

    /// Names the functions of images that nobody has looked at yet, so that a checkpoint need not.
    public func warmUp(minimumAge: UInt64) {
        let now = Clocks.monotonicNanoseconds
        for image in images where !image.isWarm {
            guard now > image.name.createdMonotonicNanoseconds &+ minimumAge else { continue }
            image.isWarm = true
            if let snapshot = try? image.file.snapshot() {
                _ = profile(of: Reading(image: image, snapshot: snapshot))
            }
        }
    }

    /// Reads all living images; takes note of those that have ended.
    public func capture(withTypes: Bool = false) -> Capture {
        update()
        var readings: [Reading] = []
        for image in images {
            do throws(RegionError) {
                var reading = Reading(image: image, snapshot: try image.file.snapshot())
                if withTypes, image.place == .here {
                    reading.census = census?.take(reading.snapshot, file: image.file) {
                        self.isRunning(image)
                    }
                }
                readings.append(reading)
            } catch {
                addProblem(error)
            }
        }
        return Capture(readings: readings)
    }

    /// Whether the program is among the images of these times.
    func hasProgram(created: [UInt64]) -> Bool {
        images.contains {
            $0.identity.pid == program && created.contains($0.name.createdMonotonicNanoseconds)
        }
    }

    /// Looks at the objects of programs that wait for that at their end, and lets them go.
    /// - Parameter created: when their regions were.
    public func takeLast(_ created: [UInt64]) {
        update()
        for image in images where created.contains(image.name.createdMonotonicNanoseconds) {
            CensusAnswer.begun.write(to: image.name.path)
            defer { CensusAnswer.done.write(to: image.name.path) }
            guard let snapshot = try? image.file.snapshot() else { continue }
            let outcome = census?.take(snapshot, file: image.file) { self.isRunning(image) }
            observe(image)
            image.last = Reading(image: image, snapshot: snapshot, census: outcome)
        }
    }

    /// What the ended programs held when they ended, of those that waited; nil where none did.
    public var typesAtExit: TypeTable? { endedTypes?.types }

    /// What was captured, with names.
    /// - Parameter figures: of a process, where the caller knows better.
    public func view(_ capture: Capture, figures: [Int32: ProcessFigures] = [:]) -> SessionView {
        fold()
        var living: [Profile] = []
        var records = endedRecords + uncounted.records
        var gauges: [RegionGauge] = []
        var types: TypeAccumulator?
        for reading in capture.readings {
            let (image, snapshot) = (reading.image, reading.snapshot)
            let profile = profile(of: reading)
            image.isWarm = true
            living.append(profile)
            if let known = figures[snapshot.identity.pid] { image.figures = known }
            records.append(
                ProcessRecord(
                    identity: snapshot.identity, totals: profile.totals, isAlive: true, figures: image.figures
                ))
            takeMarkers(reading)
            gauges += snapshot.gauges
            if let outcome = reading.census {
                outcome.add(to: &types, snapshot, stacks: image.stacks, names: profile.table)
            }
        }
        records.sort { $0.createdMonotonicNanoseconds < $1.createdMonotonicNanoseconds }
        let markers = newMarkers.sorted { $0.monotonicNanoseconds < $1.monotonicNanoseconds }
        newMarkers = []
        defer { missedMarkers = 0 }
        var past = ended
        past.adopt(builder.table)
        var last = endedWithProgram
        last?.adopt(builder.table)
        return SessionView(
            living: living, ended: past, endedWithProgram: last, records: records, markers: markers,
            missedMarkers: missedMarkers,
            gauges: gauges, endedGauges: endedGauges, types: types?.types)
    }

    /// What the shim uses in each living process. Private memory is as it was when it was last measured: that is a walk
    /// through page tables, and was most of what a look between two checkpoints cost. See `CostLimit`.
    /// - Parameter now: measure whatever it costs, as there will be no other time.
    public func shimUse(now: Bool = false) -> [Int32: ShimUse] {
        var uses: [Int32: ShimUse] = [:]
        let start = Clocks.threadNanoseconds
        let isDue = now || shimUseCost.isDue(at: Clocks.monotonicNanoseconds)
        for image in images where image.place == .here {
            guard let own = try? image.file.ownMemory() else { continue }
            if !isDue, image.privateBytes > 0 {
                uses[image.identity.pid] = ShimUse(
                    resident: own.regionBytes &+ image.privateBytes, addressSpace: own.reservedBytes)
                continue
            }
            let use = ShimUse(of: image.identity.pid, own: own, procfs: procfs)
            image.privateBytes = use.resident &- own.regionBytes
            uses[image.identity.pid] = use
        }
        if isDue {
            shimUseCost.spent(Clocks.threadNanoseconds &- start, until: Clocks.monotonicNanoseconds)
        }
        return uses
    }
}

extension RegionCollector {
    @discardableResult
    private func update() -> Bool {
        let before = images.count
        if family == nil { lookForRoom() }
        adoptNew()
        var dead: [Image] = []
        let now = Clocks.monotonicNanoseconds
        // Before any of them is forgotten: a process may have been three programs since the last look, and have ended.
        for image in images {
            let state = state(of: image)
            if state == .running { continue }
            image.wasReplaced = state == .replaced
            image.endedTheProgram = state == .ended && image.identity.pid == program
            dead.append(image)
            if state == .replaced, !images.contains(where: { $0.isSuccessor(of: image) }) {
                uncounted.suspect(image.identity, at: now)
            }
        }
        // Also one that has come and gone since the last look.
        uncounted.look(counted: Set(images.filter { !$0.wasReplaced }.map(\.identity.pid)), at: now)
        let hasChanged = images.count != before || !dead.isEmpty
        if dead.isEmpty { return hasChanged }
        images.removeAll { image in dead.contains { $0 === image } }
        for pid in Set(dead.map(\.identity.pid)) where !images.contains(where: { $0.identity.pid == pid }) {
            family?.leaves(pid)
        }
        for image in dead {
            done.insert(image.name)
            do throws(RegionError) {
                waiting.append(Reading(image: image, snapshot: try image.file.snapshot()))
            } catch {
                addProblem(error)
            }
            if removesDead { try? directory.remove(image.name) }
        }
        return hasChanged
    }

    /// A process that cannot make a region leaves a trace, if there is room for that. Before this removes any it is
    /// still as full as it was then.
    private func lookForRoom() {
        let lost = directory.lostFiles()
        if removesDead {
            for path in lost where unlink(path) == 0 { lostProcesses += 1 }
        } else {
            lostProcesses = UInt64(lost.count)
        }
        guard !hasBeenFull, let free = directory.freeBytes, free < Self.smallestRegion else { return }
        hasBeenFull = true
        unreadable.append(
            "\(directory.path) has been full: processes that started then are in no figure of this report "
                + "(see df there).")
    }

    /// MEMTRACK_INITIAL_PAGES of region_file.c.
    private static let smallestRegion: UInt64 = 64 << 10

    private func adoptNew() {
        let known = Set(images.map(\.name))
        var old: Set<Int32> = []
        whereabouts.refresh()
        for name in directory.regionFiles() where !known.contains(name) && !done.contains(name) {
            do throws(RegionError) {
                let file = try RegionFile(path: name.path)
                var identity = try file.identity()
                let place = whereabouts.place(of: file, &identity)
                let image = Image(name: name, file: file, identity: identity, place: place)
                if let family, !family.takes(image.identity) {
                    done.insert(name)
                } else if family != nil, !hasLooked, !isRunning(image) {
                    done.insert(name)
                    old.insert(image.identity.pid)
                } else {
                    images.append(image)
                }
            } catch .notReady {
                continue  // being made at this very moment: next time
            } catch {
                done.insert(name)
                // Among the regions of others, one that cannot be read is no problem of this process.
                if family == nil { addProblem(error) }
            }
        }
        hasLooked = true
        // They had children perhaps, but their numbers may be other processes' from now on.
        for pid in old where !images.contains(where: { $0.identity.pid == pid }) { family?.leaves(pid) }
    }

    private enum State { case running, replaced, ended }

    private func state(of image: Image) -> State {
        let identity = image.identity
        let isReplaced = images.contains { $0.isSuccessor(of: image) }
        switch image.place {
        case .here: break
        case .ended: return isReplaced ? .replaced : .ended
        case .unknown: return isReplaced ? .replaced : .running
        }
        guard procfs.isAlive(pid: identity.pid, at: identity.createdBoottimeNanoseconds) else {
            return isReplaced ? .replaced : .ended
        }
        return isReplaced || !procfs.runs(identity, image.file) ? .replaced : .running
    }

    private func isRunning(_ image: Image) -> Bool { state(of: image) == .running }

    /// The size of a living image by itself, so that something is known of it when it has ended.
    private func observe(_ image: Image) {
        guard image.place == .here,
            let memory = try? procfs.memory(of: image.identity.pid, withPSS: false), memory.rss > 0,
            let own = try? image.file.ownMemory()
        else { return }
        let shim = ShimUse(
            resident: own.regionBytes &+ image.privateBytes, addressSpace: own.reservedBytes)
        image.figures = ProcessFigures(memory, shim: shim)
    }

    private func fold() {
        let readings = waiting
        waiting = []
        for reading in readings {
            if let line = reading.snapshot.pythonNote { pythons.insert(line) }
            let map = perfMaps.map(of: reading.snapshot.identity.pid)
            func fold(into sum: inout ProfileAccumulator) -> Counters {
                builder.fold(
                    reading.snapshot, memory: &reading.image.stacks, into: &sum,
                    settled: reading.image.wasReplaced, runtimeName: { address in map?.name(at: address) },
                    progress: onProgress)
            }
            if reading.image.endedTheProgram { endedWithProgram = ended.settled }
            if var last = endedWithProgram {
                endedWithProgram = nil  // else it would be copied
                _ = fold(into: &last)
                endedWithProgram = last
            }
            let totals = fold(into: &ended)
            endedRecords.append(
                ProcessRecord(
                    identity: reading.snapshot.identity, totals: totals, isAlive: false,
                    wasReplaced: reading.image.wasReplaced, figures: reading.image.figures))
            if let last = reading.image.last, let outcome = last.census {
                // Nothing that was named then is gone since: the table of the end has it.
                outcome.add(
                    to: &endedTypes, last.snapshot, stacks: reading.image.stacks, names: builder.table)
                lastCensuses.insert(reading.image.identity.pid)
                reading.image.last = nil
            }
            takeMarkers(reading)
            if !reading.snapshot.gauges.isEmpty { endedGauges = reading.snapshot.gauges }
            perfMaps.forget(reading.snapshot.identity.pid)
        }
    }

    private func profile(of reading: Reading) -> Profile {
        if let line = reading.snapshot.pythonNote { pythons.insert(line) }
        let map = perfMaps.map(of: reading.snapshot.identity.pid)
        return builder.profile(
            of: reading.snapshot, memory: &reading.image.stacks,
            runtimeName: { address in map?.name(at: address) }, progress: onProgress)
    }

    private func takeMarkers(_ reading: Reading) {
        let new = reading.snapshot.markers.filter { $0.monotonicNanoseconds > reading.image.seenMarkers }
        if let last = new.map(\.monotonicNanoseconds).max() { reading.image.seenMarkers = last }
        newMarkers += new
        missedMarkers += max(0, reading.snapshot.markersSet - reading.image.setMarkers - new.count)
        reading.image.setMarkers = reading.snapshot.markersSet
    }

    /// A region that cannot be read is read again at every look: once is enough to say so.
    private func addProblem(_ error: RegionError) {
        let text = error.description
        if !unreadable.contains(text) && unreadable.count < 20 { unreadable.append(text) }
    }
}
