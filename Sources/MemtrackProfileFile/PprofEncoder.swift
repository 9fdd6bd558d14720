// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion
internal import SwiftProtobuf

/// Makes a profile.proto message of a profile.
///
/// A location is a place in the code with everything inlined there; two stacks that share it share the record. Addresses
/// are not kept where names are known: the same site of two builds is then the same record.
struct PprofEncoder {
    private let profile: Profile
    private var message = PprofProfile()
    private var strings: [String: Int64] = ["": 0]
    private var functions: [FunctionKey: UInt64] = [:]
    private var mappings: [String: UInt64] = [:]
    /// Locations of several frames, inlined into each other; and by its frame the location of each that is alone.
    private var locations: [[FrameID]: UInt32] = [:]
    private var locationsOfOne: [UInt32]
    /// Of each innermost node of a location: its location, 0 where it is not known yet, and the node of its caller.
    private var steps: [(location: UInt32, caller: StackID)]

    private struct FunctionKey: Hashable {
        var name: String
        var file: String?
    }

    static func message(of loaded: LoadedProfile) -> PprofProfile {
        var encoder = PprofEncoder(loaded.profile)
        return encoder.encode(loaded)
    }

    private init(_ profile: Profile) {
        self.profile = profile
        message.stringTable = [""]
        locationsOfOne = Array(repeating: 0, count: profile.table.frames.count)
        steps = Array(repeating: (0, 0), count: profile.table.count + 1)
    }

    private mutating func encode(_ loaded: LoadedProfile) -> PprofProfile {
        let types = SampleType.allCases.filter(loaded.sampleTypes.contains)
        for type in types { message.sampleType.append(valueType(type.rawValue, type.unit)) }
        if types.contains(.preferred) {
            message.defaultSampleType = string(SampleType.preferred.rawValue)
        }
        // One byte in each: every allocation was counted.
        message.periodType = valueType("space", "bytes")
        message.period = Int64(clamping: profile.sampling?.periodBytes ?? 1)
        let summary = loaded.summary
        message.timeNanos = Self.nanoseconds(summary.start.unixSeconds)
        message.durationNanos = Self.nanoseconds(summary.duration)
        for line in comments(loaded) { message.comment.append(string(line)) }
        // The first mapping is the program's own, for those who look there.
        if let module = loaded.mainModule { _ = mapping(module.path) }
        let (key, unit) = (string("bytes"), string("bytes"))
        message.sample.reserveCapacity(profile.samples.count)
        for sample in profile.samples {
            var record = PprofSample()
            record.locationID = locations(of: sample.stack)
            record.value = types.map { $0.value(of: sample.counters) }
            var label = PprofLabel()
            label.key = key
            label.num = Int64(clamping: SizeClass.range(sample.sizeClass).lowerBound)
            label.numUnit = unit
            record.label = [label]
            message.sample.append(record)
        }
        return message
    }

    private func comments(_ loaded: LoadedProfile) -> [String] {
        let summary = loaded.summary
        var lines = ["\(summary.program) (PID \(summary.pid)) on \(summary.host)"]
        if !summary.commandLine.isEmpty { lines.append(summary.commandLine.joined(separator: " ")) }
        if let producer = loaded.producer { lines.append(producer) }
        if let sampling = profile.sampling {
            lines.append("sampled: one block in about \(sampling.periodBytes) bytes; figures are estimates")
        }
        if let comment = PeakComment.text(profile.peak) { lines.append(comment) }
        return lines
    }

    private static func nanoseconds(_ seconds: Double) -> Int64 {
        seconds.isFinite ? Int64(min(max(seconds * 1e9, -9e18), 9e18)) : 0
    }

    private mutating func valueType(_ type: String, _ unit: String) -> PprofValueType {
        var result = PprofValueType()
        result.type = string(type)
        result.unit = string(unit)
        return result
    }

    private mutating func string(_ text: String) -> Int64 {
        if let known = strings[text] { return known }
        let place = Int64(message.stringTable.count)
        message.stringTable.append(text)
        strings[text] = place
        return place
    }

    private mutating func locations(of stack: StackID) -> [UInt64] {
        var result: [UInt64] = []
        var id = stack
        while id != 0 {
            let step = step(from: id)
            result.append(UInt64(step.location))
            id = step.caller
        }
        return result
    }

    /// The location that begins at a node, innermost inlined function first, and the caller's node.
    private mutating func step(from stack: StackID) -> (location: UInt32, caller: StackID) {
        let known = steps[Int(stack)]
        if known.location != 0 { return known }
        let table = profile.table
        var id = table.parent(of: stack)
        let innermost = table.innermost(of: stack)
        let location: UInt32
        if table.isInlined(stack) {
            var frames = [innermost]
            var isInlined = true
            while isInlined && id != 0 {
                frames.append(table.innermost(of: id))
                isInlined = table.isInlined(id)
                id = table.parent(of: id)
            }
            location = self.location(frames)
        } else {
            if locationsOfOne[Int(innermost)] == 0 {
                locationsOfOne[Int(innermost)] = self.location([innermost])
            }
            location = locationsOfOne[Int(innermost)]
        }
        steps[Int(stack)] = (location, id)
        return (location, id)
    }

    private mutating func location(_ frames: [FrameID]) -> UInt32 {
        if let known = locations[frames] { return known }
        let id = UInt32(message.location.count) + 1
        var record = PprofLocation()
        record.id = UInt64(id)
        let outer = profile.table.frame(frames[frames.count - 1])
        if !outer.module.isEmpty { record.mappingID = mapping(outer.module) }
        if let address = outer.fileAddress { record.address = address }
        for frame in frames.map(profile.table.frame) {
            var line = PprofLine()
            line.functionID = function(frame)
            line.line = Int64(frame.line ?? 0)
            record.line.append(line)
            if record.mappingID > 0 { note(frame, isInlined: frames.count > 1, at: record.mappingID) }
        }
        message.location.append(record)
        locations[frames] = id
        return id
    }

    /// Says of a mapping what is known of its code.
    private mutating func note(_ frame: Frame, isInlined: Bool, at id: UInt64) {
        let place = Int(id) - 1
        if frame.kind == .function { message.mapping[place].hasFunctions_p = true }
        if frame.file != nil { message.mapping[place].hasFilenames_p = true }
        if frame.line != nil { message.mapping[place].hasLineNumbers_p = true }
        if isInlined { message.mapping[place].hasInlineFrames_p = true }
    }

    /// `system_name` stays empty: where it is the name, pprof demangles it again and drops the parameters.
    private mutating func function(_ frame: Frame) -> UInt64 {
        let key = FunctionKey(name: frame.function, file: frame.file)
        if let known = functions[key] { return known }
        var record = PprofFunction()
        record.id = UInt64(message.function.count) + 1
        record.name = string(frame.function)
        record.filename = string(frame.file ?? "")
        message.function.append(record)
        functions[key] = record.id
        return record.id
    }

    private mutating func mapping(_ path: String) -> UInt64 {
        if let known = mappings[path] { return known }
        var record = PprofMapping()
        record.id = UInt64(message.mapping.count) + 1
        record.filename = string(path)
        let module = profile.modules.first { $0.path == path }
        record.buildID = string(module?.buildIDText ?? "")
        message.mapping.append(record)
        mappings[path] = record.id
        return record.id
    }
}

extension Frame {
    /// The offset of a frame that has no name: what it is called by, `module+0xoffset`.
    var fileAddress: UInt64? {
        guard kind == .address, let mark = function.range(ofLast: "+0x") else { return nil }
        return UInt64(function[mark.upperBound...], radix: 16)
    }

    /// What a frame of a file is, by its name alone.
    static func kind(ofFunction name: String, module: String) -> Frame.Kind {
        if BuiltInFrame.all.contains(where: { $0.function == name }) && module.isEmpty { return .builtIn }
        if name.utf8.starts(with: "0x".utf8), UInt64(name.dropFirst(2), radix: 16) != nil { return .address }
        if let mark = name.range(ofLast: "+0x"), UInt64(name[mark.upperBound...], radix: 16) != nil {
            return .address
        }
        return .function
    }
}

extension String {
    fileprivate func range(ofLast text: String) -> Range<String.Index>? {
        var index = utf8.endIndex
        let wanted = Array(text.utf8)
        while index > utf8.startIndex {
            index = utf8.index(before: index)
            guard utf8[index...].starts(with: wanted) else { continue }
            return index..<utf8.index(index, offsetBy: wanted.count)
        }
        return nil
    }
}
