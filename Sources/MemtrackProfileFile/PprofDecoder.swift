// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion
internal import SwiftProtobuf

/// Makes a profile of a profile.proto message from anywhere: every reference in it is checked, and what it asks for
/// is bounded.
struct PprofDecoder {
    private let message: PprofProfile
    private var interner: StackInterner
    /// Frames of a location, the outermost first.
    private var frames: [UInt64: [FrameID]] = [:]
    private var mappings: [UInt64: PprofMapping] = [:]
    private var functions: [UInt64: PprofFunction] = [:]
    /// Place of each figure among the values of a sample.
    private var places: [SampleType: Int] = [:]

    /// Far beyond what the shim takes (256), and any other tool known.
    private static let deepest = 4_096
    private static let mostStacks = 16 << 20

    struct Result {
        var profile: Profile
        var types: Set<SampleType>
    }

    /// - Parameter peak: what the companion says of it, where there is one.
    static func profile(
        of message: PprofProfile, wrappers: WrapperMatcher, shim: ShimFigures, peak: Peak?
    ) throws(ProfileFileError) -> Result {
        var decoder = PprofDecoder(message, wrappers: wrappers)
        try decoder.findTypes()
        try decoder.index()
        var profile = try decoder.accumulate()
        profile.shim = shim
        let comments = try decoder.comments()
        if let peak = peak ?? PeakComment.peak(in: comments) { profile.peak = peak }
        return Result(profile: profile, types: Set(decoder.places.keys))
    }

    private init(_ message: PprofProfile, wrappers: WrapperMatcher) {
        self.message = message
        interner = StackInterner(wrappers: wrappers)
    }

    private func string(_ place: Int64) throws(ProfileFileError) -> String {
        guard place >= 0, place < message.stringTable.count else {
            throw .damaged(reason: "a name is string \(place) of \(message.stringTable.count)")
        }
        return message.stringTable[Int(place)]
    }

    private func comments() throws(ProfileFileError) -> [String] {
        var result: [String] = []
        for place in message.comment { result.append(try string(place)) }
        return result
    }

    /// Old profiles of tcmalloc and jemalloc say `objects` and `space` for what is live.
    private mutating func findTypes() throws(ProfileFileError) {
        var names: [String] = []
        for type in message.sampleType { names.append(try string(type.type)) }
        for (place, name) in names.enumerated() {
            let known = ["objects": SampleType.inuseObjects, "space": .inuseSpace][name]
            if let type = SampleType(rawValue: name) ?? known, places[type] == nil { places[type] = place }
        }
        if places.isEmpty { throw .noMemoryFigures(types: names) }
    }

    private mutating func index() throws(ProfileFileError) {
        for mapping in message.mapping { mappings[mapping.id] = mapping }
        for function in message.function { functions[function.id] = function }
        for location in message.location {
            guard location.id != 0, frames[location.id] == nil else {
                throw .damaged(reason: "two locations have the id \(location.id)")
            }
            frames[location.id] = try decode(location)
        }
    }

    private mutating func decode(_ location: PprofLocation) throws(ProfileFileError) -> [FrameID] {
        var module = ""
        if location.mappingID != 0 {
            guard let mapping = mappings[location.mappingID] else {
                throw .damaged(reason: "location \(location.id) names a mapping that is not there")
            }
            module = try string(mapping.filename)
        }
        guard location.line.count <= Self.deepest else {
            throw .tooLarge(what: "inlined functions in one place", limit: Self.deepest)
        }
        var result: [FrameID] = []
        for line in location.line.reversed() {
            guard let function = functions[line.functionID] else {
                throw .damaged(reason: "location \(location.id) names a function that is not there")
            }
            var name = try string(function.name)
            if name.isEmpty { name = try string(function.systemName) }
            let file = try string(function.filename)
            let frame = Frame(
                function: name.isEmpty ? "?" : name, file: file.isEmpty ? nil : file,
                line: line.line > 0 ? Int(line.line) : nil, module: module,
                kind: Frame.kind(ofFunction: name, module: module))
            result.append(interner.frame(frame))
        }
        if result.isEmpty {
            let name = module.isEmpty ? "" : Frame.baseName(module) + "+"
            result.append(
                interner.frame(
                    Frame(
                        function: name + "0x" + String(location.address, radix: 16), module: module,
                        kind: .address)))
        }
        return result
    }

    private mutating func accumulate() throws(ProfileFileError) -> Profile {
        var stacks: [(stack: StackID, sizeClass: UInt32, counters: Counters)] = []
        stacks.reserveCapacity(message.sample.count)
        let label = message.stringTable.firstIndex(of: "bytes").map(Int64.init)
        for sample in message.sample {
            guard sample.value.count == message.sampleType.count else {
                throw .damaged(
                    reason: "a sample has \(sample.value.count) values for \(message.sampleType.count) types")
            }
            let counters = Counters { type in places[type].map { sample.value[$0] } ?? 0 }
            let size = sample.label.first { $0.key == label && $0.num >= 0 }?.num
            stacks.append(
                (
                    try stack(sample.locationID),
                    Self.sizeClass(size, counters), counters
                ))
        }
        var modules: [ProfileModule] = []
        for mapping in message.mapping {
            modules.append(
                ProfileModule(
                    path: try string(mapping.filename), buildID: Self.bytes(try string(mapping.buildID))))
        }
        let sampling = message.period > 1 ? Sampling(periodBytes: UInt64(message.period)) : nil
        var sum = ProfileAccumulator()
        sum.take(
            table: interner.table, modules: modules, shim: ShimFigures(), sampling: sampling, slackBytes: nil,
            peakMoment: nil)
        for (stack, sizeClass, counters) in stacks {
            sum.add(stack: stack, sizeClass: sizeClass, counters)
        }
        return sum.profile
    }

    private mutating func stack(_ locations: [UInt64]) throws(ProfileFileError) -> StackID {
        var stack: StackID = 0
        var depth = 0
        for id in locations.reversed() {
            guard let frames = frames[id] else {
                throw .damaged(reason: "a sample names location \(id), which is not there")
            }
            depth += frames.count
            if depth > Self.deepest { throw .tooLarge(what: "frames in a stack", limit: Self.deepest) }
            for (place, frame) in frames.enumerated() {
                stack = interner.stack(parent: stack, frame: frame, isInlined: place > 0)
            }
            if interner.table.count > Self.mostStacks {
                throw .tooLarge(what: "stacks", limit: Self.mostStacks)
            }
        }
        return stack == 0 ? interner.stack(of: BuiltInFrame.noStack) : stack
    }

    /// Without a label, of the average block.
    private static func sizeClass(_ size: Int64?, _ counters: Counters) -> UInt32 {
        if let size { return SizeClass.containing(UInt64(size)) }
        if counters.allocations > 0 {
            return SizeClass.containing(counters.allocatedBytes / counters.allocations)
        }
        guard counters.liveBlocks > 0, counters.liveBytes > 0 else { return 0 }
        return SizeClass.containing(UInt64(counters.liveBytes / counters.liveBlocks))
    }

    /// Build ids that are no hexadecimal text, such as Go's, are taken as they are.
    private static func bytes(_ text: String) -> [UInt8] {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return digits }
        var result: [UInt8] = []
        for place in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place...(place + 1)], as: UTF8.self), radix: 16)
            else { return digits }
            result.append(byte)
        }
        return result
    }
}
