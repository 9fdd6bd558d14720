// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProfile
internal import MemtrackRegion

/// The one object that the page's script reads. Its schema is in docs/exports.md.
struct PageJSON {
    let profile: LoadedProfile
    let base: LoadedProfile?
    let selected: SampleType

    func write() -> [UInt8] {
        var json = JSONWriter(forMarkup: true)
        json.object { json in
            json.field("version", 1)
            json.field("title", title)
            json.field("subtitle", subtitle)
            json.key("compares")
            if let base {
                json.object { json in
                    json.field("old", base.name)
                    json.field("new", profile.name)
                }
            } else {
                json.null()
            }
            writeTypes(to: &json)
            writeStacks(PageModel(profile, base: base), to: &json)
            writeTimeline(to: &json)
            json.key("facts")
            json.array(of: PageFacts.facts(profile, base: base)) { json, fact in
                json.array(of: [fact.label, fact.text]) { $0.value($1) }
            }
            json.key("health")
            json.array(of: PageFacts.health(profile, base: base)) { $0.value($1) }
            json.key("notes")
            json.array(of: PageFacts.notes(profile)) { $0.value($1) }
            json.key("tables")
            json.array(of: PageTable.all(profile, base: base)) { json, table in table.write(to: &json) }
        }
        return json.bytes
    }

    var title: String {
        let name = "\(profile.summary.program) (\(profile.summary.pid))"
        guard let base else { return name }
        return "\(base.summary.program) (\(base.summary.pid)) → \(name)"
    }

    private var subtitle: String {
        if let base { return "\(base.name) → \(profile.name)" }
        return profile.summary.commandLine.joined(separator: " ")
    }

    private var types: [SampleType] {
        SampleType.allCases.filter(profile.sampleTypes.union(base?.sampleTypes ?? []).contains)
    }

    private func writeTypes(to json: inout JSONWriter) {
        json.key("types")
        json.array(of: types) { json, type in
            json.object { json in
                json.field("id", type.rawValue)
                json.field("label", Self.label(type))
                json.field("unit", type.unit)
            }
        }
        json.field("selected", types.contains(selected) ? selected.rawValue : types.first?.rawValue ?? "")
    }

    private func writeStacks(_ model: PageModel, to json: inout JSONWriter) {
        json.key("modules")
        json.array(of: model.modules) { json, module in
            json.array(of: [module.path, module.buildIDText]) { $0.value($1) }
        }
        json.key("functions")
        json.object { json in
            json.key("name")
            json.array(of: model.functions) { $0.value($1.name) }
            json.key("file")
            json.array(of: model.functions) { $0.value($1.file) }
            json.field("module", numbers: model.functions.map(\.module))
            json.field("kind", numbers: model.functions.map(\.kind.rawValue))
        }
        json.key("nodes")
        json.object { json in
            json.field("parent", numbers: model.nodes.map(\.parent))
            json.field("function", numbers: model.nodes.map(\.function))
        }
        json.key("sites")
        json.object { json in
            json.field("function", numbers: model.sites.map(\.function))
            json.field("line", numbers: model.sites.map(\.line))
        }
        writeSamples(model.samples, to: &json)
    }

    private func writeSamples(_ samples: [PageModel.Sample], to json: inout JSONWriter) {
        let classes = Set(samples.map(\.sizeClass)).sorted()
        let places = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($0.element, $0.offset) })
        json.key("classes")
        json.array(of: classes) { json, sizeClass in
            let range = SizeClass.range(min(sizeClass, SizeClass.count - 1))
            json.array(of: [range.lowerBound, range.upperBound]) { $0.value($1) }
        }
        json.key("samples")
        json.object { json in
            json.field("node", numbers: samples.map(\.node))
            json.field("siteNode", numbers: samples.map(\.siteNode))
            json.field("site", numbers: samples.map(\.site))
            json.field("class", numbers: samples.map { places[$0.sizeClass] ?? 0 })
            json.key("values")
            json.array(of: types) { json, type in
                json.array(of: samples) { $0.value(type.value(of: $1.counters)) }
            }
            json.key("base")
            if base == nil {
                json.null()
            } else {
                json.array(of: types) { json, type in
                    json.array(of: samples) { $0.value(type.value(of: $1.base)) }
                }
            }
        }
    }

    private func writeTimeline(to json: inout JSONWriter) {
        let summary = profile.summary
        let points = summary.series.checkpoints
        json.key("timeline")
        json.object { json in
            json.key("seconds")
            json.array(of: points) { $0.value($1.elapsed) }
            func column(_ name: String, _ value: (CheckpointSummary) -> Int64?) {
                json.key(name)
                json.array(of: points) { json, point in
                    if let number = value(point) { json.value(number) } else { json.null() }
                }
            }
            column("rss") { $0.figures.map { Int64(clamping: $0.rss) } }
            column("totalRss") { $0.figures.map { Int64(clamping: $0.totalRSS) } }
            column("live") { $0.totals?.liveBytes }
            column("children") { $0.figures.map { Int64($0.childCount) } }
            column("threads") { $0.figures.map { Int64($0.threads) } }
            json.key("peakSeconds")
            json.value(summary.secondsToPeak)
            json.key("duration")
            json.value(summary.duration)
            json.key("markers")
            json.array(of: summary.timedMarkers) { json, marker in
                json.object { json in
                    json.key("seconds")
                    json.value(marker.seconds)
                    json.field("label", marker.label)
                }
            }
        }
    }

    private static func label(_ type: SampleType) -> String {
        switch type {
        case .allocObjects: "Allocations"
        case .allocSpace: "Allocated size"
        case .inuseObjects: "Live blocks"
        case .inuseSpace: "Live size"
        case .peakObjects: "Blocks at the peak"
        case .peakSpace: "Size at the peak"
        case .temporaryObjects: "Temporary allocations"
        }
    }
}

extension SessionSummary {
    /// Markers with the seconds since the start; those from before the clock began stand at 0.
    fileprivate var timedMarkers: [(seconds: Double, label: String)] {
        markers.map { marker in
            let start = startMonotonicNanoseconds
            let since = marker.monotonicNanoseconds >= start ? marker.monotonicNanoseconds - start : 0
            return (Double(since) / 1e9, marker.label)
        }
    }
}
