// SPDX-License-Identifier: Apache-2.0
internal import MemtrackObjects
internal import MemtrackProcfs
internal import MemtrackRegion
internal import MemtrackSymbols

/// The loaded objects of a living process, by its mappings and the files behind them.
struct TargetModules {
    private struct Module {
        var file: CodeFile
        /// Where the beginning of the file is mapped.
        var base: UInt64
        var ranges: [Range<UInt64>]
    }

    let map: ModuleMap

    /// - Parameter known: what the region says of them, for build ids.
    init(
        of pid: Int32, executable: String, known: some Sequence<RegionModule>, procfs: Procfs,
        symbolizer: Symbolizer
    ) {
        let modules = Self.modules(of: pid, known: known, procfs: procfs)
        func bias(_ module: Module, _ facts: ObjectFacts) -> UInt64 { module.base &- facts.loadAddress }
        var pythonType: UInt64?
        var hasSwift = false
        for module in modules {
            let name = Self.baseName(module.file.path)
            if name.hasPrefix("libswiftCore.so") { hasSwift = true }
            guard module.file.path == executable || name.contains("python"),
                let facts = symbolizer.facts(of: module.file)
            else { continue }
            if facts.hasSwiftTypes { hasSwift = true }
            if pythonType == nil, let type = facts.pythonType { pythonType = type &+ bias(module, facts) }
        }
        map = ModuleMap(
            ranges: modules.flatMap { module in
                module.ranges.map { ModuleMap.Range(start: $0.lowerBound, end: $0.upperBound) }
            }, pythonType: pythonType, hasSwift: hasSwift,
            vtable: { address in
                guard let module = modules.first(where: { $0.ranges.contains { $0.contains(address) } }),
                    let facts = symbolizer.facts(of: module.file)
                else { return nil }
                return facts.vtable(at: address &- bias(module, facts))
            })
    }

    /// Files of which something is mapped as code: data files hold no types.
    private static func modules(
        of pid: Int32, known: some Sequence<RegionModule>, procfs: Procfs
    ) -> [Module] {
        guard let entries = try? procfs.maps(of: pid) else { return [] }
        let buildIDs = Dictionary(known.map { ($0.path, $0.buildID) }, uniquingKeysWith: { _, last in last })
        let code = Set(entries.filter { $0.permissions.contains("x") }.compactMap(\.filePath))
        var modules: [String: Module] = [:]
        var order: [String] = []
        var previous: (path: String, end: UInt64)?
        for entry in entries {
            if entry.path.isEmpty, let module = previous, module.end == entry.start {
                // Data that is zero in the file has no place in it (.bss): static types that are filled in at run time.
                modules[module.path]?.ranges.append(entry.start..<entry.end)
            }
            previous = nil
            guard let path = entry.filePath, code.contains(path) else { continue }
            previous = (path, entry.end)
            if modules[path] == nil {
                order.append(path)
                modules[path] = Module(
                    file: CodeFile(
                        path: entry.isDeleted ? entry.path : path, buildID: buildIDs[path] ?? []),
                    base: entry.start &- entry.offset, ranges: [])
            }
            modules[path]?.ranges.append(entry.start..<entry.end)
        }
        return order.compactMap { modules[$0] }
    }

    private static func baseName(_ path: String) -> Substring {
        path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
    }
}
