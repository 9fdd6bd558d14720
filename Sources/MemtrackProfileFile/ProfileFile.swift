// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion
internal import SwiftProtobuf

/// The bytes of a saved profile and of its companion, made and read. Nothing here opens a file.
public enum ProfileFile {
    /// Bytes of a file, compressed or not, and after decompression.
    public static let sizeLimit = 256 << 20
    public static let companionSizeLimit = 64 << 20
    private static let recordLimit = 16 << 20

    public struct Encoded: Sendable {
        /// profile.proto, gzipped.
        public var profile: [UInt8]
        /// JSON.
        public var companion: [UInt8]
    }

    /// `bot.pb.gz` has its companion in `bot.json`, any other name in the name with `.json` behind it.
    public static func companionPath(of path: String) -> String {
        for suffix in [".pb.gz", ".pprof"] where path.hasSuffix(suffix) {
            return path.dropLast(suffix.count) + ".json"
        }
        return path + ".json"
    }

    public static func encode(_ loaded: LoadedProfile) throws(ProfileFileError) -> Encoded {
        let profile = try pprof(loaded)
        let companion = Companion(loaded, profileCrc32: Gzip.checksum(profile))
        return Encoded(profile: profile, companion: try companion.encoded())
    }

    /// The profile alone.
    public static func pprof(_ loaded: LoadedProfile) throws(ProfileFileError) -> [UInt8] {
        let message = PprofEncoder.message(of: loaded)
        let plain: [UInt8]
        do {
            plain = try message.serializedBytes()
        } catch {
            throw .encoding(reason: "\(error)")
        }
        return try Gzip.compressed(plain)
    }

    /// - Parameters:
    ///   - name: what the user calls the file.
    ///   - companion: nil where there is none. One that is damaged, or of another profile, is left out, and a note of
    ///     the result says so.
    ///   - unread: why the companion that is there could not be read: the end of a sentence, as `is too large`.
    public static func decode(
        name: String, profile bytes: [UInt8], companion companionBytes: [UInt8]?, wrappers: WrapperMatcher,
        unread: String? = nil
    ) throws(ProfileFileError) -> LoadedProfile {
        if bytes.isEmpty { throw .empty }
        if bytes.first == UInt8(ascii: "{"), bytes.count <= companionSizeLimit,
            Companion(decoding: bytes) != nil
        {
            throw .companion
        }
        let isCompressed = bytes.starts(with: Gzip.magic)
        let plain = isCompressed ? try Gzip.decompressed(bytes, limit: sizeLimit) : bytes
        do {
            try WireScan.check(plain, limit: recordLimit)
        } catch .truncated where !isCompressed {
            // Any text looks like a message cut off.
            throw .notAProfile
        }
        let message: PprofProfile
        do {
            message = try PprofProfile(serializedBytes: plain)
        } catch {
            throw .notAProfile
        }
        if message.sampleType.isEmpty && message.sample.isEmpty { throw .notAProfile }

        var note = unread
        var companion: Companion?
        if let companionBytes {
            companion = Companion(decoding: companionBytes)
            if companion == nil {
                note = "is damaged or of another version"
            } else if companion?.profileCrc32 != Gzip.checksum(bytes) {
                companion = nil
                note = "belongs to another profile"
            }
        }
        var wrappers = wrappers
        wrappers.adopt(companion?.wrapperFunctions ?? [])
        let result = try PprofDecoder.profile(
            of: message, wrappers: wrappers, shim: companion?.health.shim ?? ShimFigures(),
            peak: companion.map {
                Peak(
                    slackBytes: $0.peak.slackBytes, monotonicNanoseconds: $0.peak.monotonicNanoseconds,
                    processes: min(max(0, $0.peak.processes), 1 << 40))
            })
        var summary = companion?.summary ?? Self.summary(of: message, name: name)
        summary.profile = result.profile
        summary.profile?.sampling?.exact = companion?.exactClasses ?? []
        // A file of another tool never had one.
        if companionBytes == nil && note == nil && result.types.contains(.temporaryObjects) {
            note = "is not there"
        }
        let problem = note.map {
            "\(companionPath(of: name)) \($0): nothing is known of processes, marks and health."
        }
        if let problem { summary.notes.append(problem) }
        let missing = SampleType.allCases.filter { !result.types.contains($0) }
        if !missing.isEmpty {
            let names = missing.map(\.rawValue).joined(separator: ", ")
            let note = "The file has no \(names): 0 there means not known."
            if !summary.notes.contains(note) { summary.notes.append(note) }
        }
        return LoadedProfile(
            name: name, summary: summary, sampleTypes: result.types, hasCompanion: companion != nil,
            companionProblem: problem, producer: companion?.producer)
    }

    /// What a profile says of its program without a companion.
    private static func summary(of message: PprofProfile, name: String) -> SessionSummary {
        let file = message.mapping.first.map(\.filename) ?? 0
        let isKnown = file > 0 && file < message.stringTable.count
        let program = isKnown ? message.stringTable[Int(file)] : name
        return SessionSummary(
            program: Frame.baseName(program), pid: 0, commandLine: [], host: "",
            start: WallTime(unixSeconds: Double(message.timeNanos) / 1e9),
            duration: max(0, Double(message.durationNanos) / 1e9), ending: .unknown, profile: nil)
    }
}
