// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Readers of the tables that are not counters: nodes, modules, markers, gauges.
extension RegionPages {
    /// What entry `index` of the directory names in a field; 0 where that part of the directory is not there.
    func directoryEntry(_ index: Int, _ field: DirectoryField) -> UInt32 {
        let offset = Int(MEMTRACK_DIRECTORY_OFFSET) + index * 16
        let page = offset / Self.bytes
        guard page == 0 || header.word(\.directory_pages) >> UInt32(page - 1) & 1 == 1 else { return 0 }
        return memtrack_load_u32(base + offset + field.rawValue)
    }

    private static func chunks(_ records: Int, by size: Int32) -> Int {
        (records + Int(size) - 1) / Int(size)
    }

    mutating func modules() throws(RegionDamage) -> [UInt16: RegionModule] {
        let perChunk = MEMTRACK_MODULES_PER_CHUNK
        let end = min(Int(header.word(\.module_next)), Int(MEMTRACK_MODULE_CHUNKS) * Int(perChunk))
        var modules: [UInt16: RegionModule] = [:]
        for chunk in 0..<Self.chunks(end, by: Int32(perChunk)) {
            guard let page = try claim(directoryEntry(chunk, .modules), "the module directory") else {
                continue
            }
            let first = chunk * Int(perChunk)
            for index in max(first, 1)..<min(first + Int(perChunk), end) {
                let record = (page + (index - first) * MemoryLayout<memtrack_module>.stride)
                    .assumingMemoryBound(to: memtrack_module.self)
                guard record.word(\.state) == 1 else { continue }
                var module = RegionModule(
                    start: record.word(\.start), end: record.word(\.end), bias: record.word(\.bias),
                    buildID: record.bytes(\.build_id, count: record.word(\.build_id_bytes)),
                    path: record.text(\.path),
                    pathIsCut: record.word(\.flags) & MEMTRACK_MODULE_PATH_CUT != 0)
                module.isPython = record.word(\.flags) & MEMTRACK_MODULE_PYTHON != 0
                modules[UInt16(index)] = module
            }
        }
        return modules
    }

    /// Adds to `table` the nodes that are published by now, and reads those again that were not settled.
    ///
    /// The module of a node is not checked here: modules are read after the nodes that name them.
    mutating func readNodes(into table: inout NodeTable) throws(RegionDamage) {
        let perChunk = Int(MEMTRACK_NODES_PER_CHUNK)
        let end = min(Int(header.word(\.node_next)), Int(MEMTRACK_NODE_CHUNKS) * perChunk)
        let pages = UInt32(perChunk * NodeLayout.stride / Self.bytes)
        var chunks: [UnsafeRawPointer?] = []
        for chunk in 0..<Self.chunks(end, by: Int32(perChunk)) {
            chunks.append(try claim(directoryEntry(chunk, .nodes), count: pages, "the node directory"))
        }
        while chunks.last == .some(nil) { chunks.removeLast() }
        table.read(chunks, count: max(1, min(end, chunks.count * perChunk)), perChunk: perChunk)
    }

    /// The ring of markers, oldest first. One that is being written at this moment is left out.
    mutating func markers() throws(RegionDamage) -> [RegionMarker] {
        let next = UInt64(header.word(\.marker_next))
        guard let page = try claim(header.word(\.marker_page), "the marker page") else { return [] }
        let slots = UInt64(MEMTRACK_MARKERS)
        var markers: [RegionMarker] = []
        for number in (next > slots ? next - slots : 0)..<next {
            let record = (page + Int(number % slots) * MemoryLayout<memtrack_marker>.stride)
                .assumingMemoryBound(to: memtrack_marker.self)
            guard record.word(\.state) == 1 else { continue }
            let marker = RegionMarker(
                monotonicNanoseconds: record.word(\.monotonic_ns), label: record.text(\.label))
            guard record.word(\.state) == 1, record.word(\.monotonic_ns) == marker.monotonicNanoseconds
            else { continue }
            markers.append(marker)
        }
        return markers
    }

    mutating func gauges() throws(RegionDamage) -> [RegionGauge] {
        guard let page = try claim(header.word(\.gauge_page), "the gauge page") else { return [] }
        var gauges: [RegionGauge] = []
        for index in 0..<Int(MEMTRACK_GAUGES) {
            let record = (page + index * MemoryLayout<memtrack_gauge_record>.stride)
                .assumingMemoryBound(to: memtrack_gauge_record.self)
            guard record.word(\.state) == 1 else { continue }
            let bits = memtrack_load_u64(record.address(of: \.value))
            gauges.append(RegionGauge(name: record.text(\.name), value: Double(bitPattern: bits)))
        }
        return gauges
    }
}

/// Byte offsets in `struct memtrack_directory_entry`. A test holds them against the C header.
enum DirectoryField: Int {
    case nodes = 0
    case cells = 4
    case modules = 8
    case bank = 12
}

/// `struct memtrack_node` as constants: this is read a million times over, where a key path costs too much.
/// A test holds these offsets against the C header.
enum NodeLayout {
    static let stride = 16
    static let address = 0
    static let parent = 8
    static let module = 12
    static let flags = 14

    @inline(__always)
    static func read(_ record: UnsafeRawPointer) -> RegionNode? {
        let module = memtrack_load_u16(record + module)
        guard module != MEMTRACK_MODULE_UNPUBLISHED else { return nil }
        let flags = UInt32(memtrack_load_u16(record + flags))
        return RegionNode(
            address: memtrack_load_u64(record + address), parent: memtrack_load_u32(record + parent),
            module: module == MEMTRACK_MODULE_NONE ? nil : module,
            isSignalFrame: flags & MEMTRACK_NODE_SIGNAL != 0,
            isTruncated: flags & MEMTRACK_NODE_TRUNCATED != 0,
            isIncomplete: flags & MEMTRACK_NODE_INCOMPLETE != 0)
    }
}
