// SPDX-License-Identifier: Apache-2.0
internal import FoundationEssentials
internal import MemtrackProfile
internal import MemtrackRegion

extension Companion {
    static let formatName = "memtrack-profile"

    /// Of a sampled profile: every allocation by size class. Classes that do not exist are left out.
    var exactClasses: [SizeClassShare] {
        (sampling?.exact ?? []).filter { $0.sizeClass < UInt32(SizeClass.count) }.map {
            var counters = Counters()
            counters.allocations = $0.allocations
            counters.allocatedBytes = $0.bytes
            return SizeClassShare(sizeClass: $0.sizeClass, counters: counters)
        }
    }

    init(_ loaded: LoadedProfile, profileCrc32: UInt32) {
        let (summary, profile) = (loaded.summary, loaded.profile)
        format = Self.formatName
        version = 1
        producer = loaded.producer
        self.profileCrc32 = profileCrc32
        program = summary.program
        pid = summary.pid
        commandLine = summary.commandLine
        host = summary.host
        startUnixSeconds = summary.start.unixSeconds
        utcOffsetSeconds = summary.start.utcOffsetSeconds
        startMonotonicNanoseconds = summary.startMonotonicNanoseconds
        durationSeconds = summary.duration
        intervalSeconds = summary.interval
        ending = Ending(summary.ending)
        notes = summary.notes
        hints = summary.hints
        peak = Peak(
            slackBytes: profile.peak.slackBytes, monotonicNanoseconds: profile.peak.monotonicNanoseconds,
            processes: profile.peak.processes)
        sampling = profile.sampling.map { sampling in
            Sampling(
                periodBytes: sampling.periodBytes,
                exact: sampling.exact.map {
                    ExactClass(
                        sizeClass: $0.sizeClass, allocations: $0.counters.allocations,
                        bytes: $0.counters.allocatedBytes)
                })
        }
        let table = profile.table
        wrapperFunctions = Set(
            table.frames.indices.filter { table.isWrapper(FrameID($0)) }.map { table.frames[$0].function }
        ).sorted()
        health = CompanionHealth(profile.shim)
        memtrackBytes = summary.shimBytes
        largestRssBytes = summary.largestRSS
        let kept = Self.kept(of: summary.series)
        let all = summary.series.checkpoints.count
        checkpointCount = kept.count < all ? all : nil
        checkpoints = kept.map {
            Checkpoint(
                number: $0.number, unixSeconds: $0.time.unixSeconds, elapsedSeconds: $0.elapsed,
                figures: $0.figures.map(CompanionFigures.init), totals: $0.totals.map(CompanionCounters.init))
        }
        processes = summary.processes.map(Process.init)
        markers = summary.markers.map {
            Marker(label: $0.label, monotonicNanoseconds: $0.monotonicNanoseconds)
        }
        markerCount = summary.markerCount
        gauges = summary.gauges.map { Gauge(name: $0.name, value: $0.value) }
        objects = summary.types.map(CompanionObjects.init)
    }

    /// All but the profile.
    var summary: SessionSummary {
        var result = SessionSummary(
            program: program, pid: pid, commandLine: commandLine, host: host,
            start: WallTime(unixSeconds: startUnixSeconds, utcOffsetSeconds: utcOffsetSeconds),
            startMonotonicNanoseconds: startMonotonicNanoseconds, duration: durationSeconds,
            ending: ending.ending, profile: nil)
        result.interval = intervalSeconds
        result.notes = notes
        for omission in omissions where !notes.contains(omission) { result.notes.append(omission) }
        result.hints = hints
        result.shimBytes = memtrackBytes
        result.largestRSS = largestRssBytes
        for checkpoint in checkpoints {
            result.series.add(
                CheckpointSummary(
                    number: checkpoint.number,
                    time: WallTime(
                        unixSeconds: checkpoint.unixSeconds, utcOffsetSeconds: utcOffsetSeconds),
                    elapsed: checkpoint.elapsedSeconds, figures: checkpoint.figures?.figures,
                    totals: checkpoint.totals?.counters))
        }
        result.processes = processes.map(\.record)
        result.add(
            markers: markers.map {
                RegionMarker(monotonicNanoseconds: $0.monotonicNanoseconds, label: $0.label)
            }, earlier: min(max(0, markerCount), Int(Int32.max)) - min(markers.count, markerCount))
        result.gauges = gauges.map { RegionGauge(name: $0.name, value: $0.value) }
        result.types = objects?.table
        return result
    }

    func encoded() throws(ProfileFileError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        do {
            return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
        } catch {
            throw .encoding(reason: "\(error)")
        }
    }

    /// nil where the bytes are no companion; it is then as if there were none, and said.
    init?(decoding bytes: [UInt8]) {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        guard let companion = try? decoder.decode(Companion.self, from: Data(bytes)),
            companion.format == Self.formatName, companion.version == 1
        else { return nil }
        self = companion
    }
}

extension Companion.Ending {
    init(_ ending: MemtrackProfile.Ending) {
        switch ending {
        case .exited(let status): self.init(how: "exited", number: status, signal: nil)
        case .signalled(let number, let name): self.init(how: "signalled", number: number, signal: name)
        case .running: self.init(how: "running", number: nil, signal: nil)
        case .unknown: self.init(how: "unknown", number: nil, signal: nil)
        }
    }

    var ending: MemtrackProfile.Ending {
        switch how {
        case "exited": .exited(status: number ?? 0)
        case "signalled": .signalled(number: number ?? 0, name: signal ?? "")
        case "running": .running
        default: .unknown
        }
    }
}

extension Companion.Process {
    init(_ record: ProcessRecord) {
        self.init(
            pid: record.pid, parentPid: record.parentPID, executable: record.executable,
            arguments: record.arguments, origin: record.origin == .fork ? "fork" : "exec",
            createdMonotonicNanoseconds: record.createdMonotonicNanoseconds, running: record.isAlive,
            replaced: record.wasReplaced ? true : nil, totals: record.totals.map(CompanionCounters.init),
            figures: record.figures.map(CompanionFigures.init))
    }

    var record: ProcessRecord {
        ProcessRecord(
            pid: pid, parentPID: parentPid, executable: executable, arguments: arguments,
            origin: origin == "fork" ? .fork : .exec,
            createdMonotonicNanoseconds: createdMonotonicNanoseconds, isAlive: running,
            wasReplaced: replaced ?? false, totals: totals?.counters, figures: figures?.figures)
    }
}
