// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile
internal import MemtrackRegion

/// JSON for speedscope (https://www.speedscope.app/file-format-schema.json): a sampled profile for each
/// figure, the chosen one in front. Weights have no sign there: stacks with nothing, or less, of a figure are
/// not in its profile.
public struct SpeedscopeExporter: ProfileExporter {
    public init() {}

    public func export(_ profile: LoadedProfile, options: ExportOptions) throws(ReportError) -> [UInt8] {
        let stacks = StackLine.all(profile.profile)
        let types = SampleType.allCases.filter(profile.sampleTypes.contains)
        var json = JSONWriter()
        json.object { json in
            json.field("$schema", "https://www.speedscope.app/file-format-schema.json")
            json.field("version", "0.0.1")
            json.field("name", "\(profile.summary.program) (\(profile.summary.pid))")
            json.field("activeProfileIndex", types.firstIndex(of: options.sampleType) ?? 0)
            json.key("shared")
            json.object { json in
                json.key("frames")
                json.array(of: profile.profile.table.frames, Self.frame)
            }
            json.key("profiles")
            json.array(of: types) { json, type in Self.profile(of: type, stacks, to: &json) }
        }
        json.lineFeed()
        return json.bytes
    }

    private static func frame(_ json: inout JSONWriter, _ frame: Frame) {
        json.object { json in
            json.field("name", frame.function)
            if let file = frame.file ?? (frame.module.isEmpty ? nil : frame.module) {
                json.field("file", file)
            }
            if let line = frame.line, line >= 0 { json.field("line", line) }
        }
    }

    private static func profile(of type: SampleType, _ stacks: [StackLine], to json: inout JSONWriter) {
        let shown = stacks.filter { type.value(of: $0.counters) > 0 }
        let weights = shown.map { type.value(of: $0.counters) }
        json.object { json in
            json.field("type", "sampled")
            json.field("name", type.rawValue)
            json.field("unit", type.isSpace ? "bytes" : "none")
            json.field("startValue", 0)
            json.field("endValue", weights.reduce(0, &+))
            json.key("samples")
            json.array(of: shown) { json, stack in
                json.array(of: stack.frames.reversed()) { $0.value($1) }
            }
            json.field("weights", numbers: weights)
        }
    }
}
