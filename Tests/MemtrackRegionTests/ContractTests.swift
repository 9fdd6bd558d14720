// SPDX-License-Identifier: Apache-2.0
import CMemtrack
import Foundation
import Testing

@testable import MemtrackRegion

/// The structs as Swift imports them against what a C compiler makes of the same header.
@Suite struct ContractTests {
    private struct Field: Hashable {
        var offset: Int
        var size: Int
    }

    private static let testDirectory = URL(filePath: #filePath).deletingLastPathComponent()
    private static let include = testDirectory.appending(path: "../../CShim/include").standardizedFileURL.path

    /// Compiles and runs a program that prints `name offset size` for each field.
    private static func cFields(_ structs: [(name: String, fields: [String])]) throws -> [String: Field] {
        var source = "#include <stdio.h>\n#include <memtrack/region.h>\nint main(void) {\n"
        for (name, fields) in structs {
            source += "printf(\"\(name) 0 %zu\\n\", sizeof(struct \(name)));\n"
            for field in fields {
                source += "printf(\"\(name).\(field) %zu %zu\\n\", offsetof(struct \(name), \(field)),"
                source += " sizeof(((struct \(name) *)0)->\(field)));\n"
            }
        }
        source += "printf(\"magic %zu 8\\n\", (size_t)MEMTRACK_MAGIC);\nreturn 0; }\n"
        let directory = TemporaryDirectory()
        let file = directory.file("fields.c")
        try source.write(toFile: file, atomically: true, encoding: .utf8)
        let program = directory.file("fields")
        _ = try run("/usr/bin/env", ["cc", "-std=c11", "-I", include, "-o", program, file])
        var fields: [String: Field] = [:]
        for line in try run(program, []).split(separator: "\n") {
            let words = line.split(separator: " ")
            fields[String(words[0])] = Field(offset: Int(words[1])!, size: Int(words[2])!)
        }
        return fields
    }

    private static func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return text
    }

    private static func check<Record>(
        _ type: Record.Type, _ name: String, _ fields: [(String, PartialKeyPath<Record>)]
    ) throws {
        let inC = try cFields([(name, fields.map(\.0))])
        #expect(inC[name]?.size == MemoryLayout<Record>.size)
        #expect(inC[name]?.size == MemoryLayout<Record>.stride)
        var end = 0
        for (field, path) in fields {
            let place = try #require(inC["\(name).\(field)"])
            #expect(MemoryLayout<Record>.offset(of: path) == place.offset, "\(name).\(field)")
            // So that a field added to the header cannot be missing here.
            #expect(
                place.offset == end, "there is something before \(name).\(field) that the test does not know")
            end = place.offset + place.size
        }
        #expect(end == MemoryLayout<Record>.size, "\(name) has more fields than the test knows")
    }

    @Test func header() throws {
        try Self.check(
            memtrack_header.self, "memtrack_header",
            [
                ("magic", \.magic), ("abi_version", \.abi_version), ("header_bytes", \.header_bytes),
                ("file_bytes", \.file_bytes), ("used_pages", \.used_pages), ("pid", \.pid),
                ("parent_pid", \.parent_pid), ("created_boottime_ns", \.created_boottime_ns),
                ("pid_namespace", \.pid_namespace), ("created_realtime_ns", \.created_realtime_ns),
                ("created_monotonic_ns", \.created_monotonic_ns),
                ("parent_created_monotonic_ns", \.parent_created_monotonic_ns), ("boot_id", \.boot_id),
                ("uid", \.uid), ("origin", \.origin), ("shim_build_id", \.shim_build_id),
                ("shim_build_id_bytes", \.shim_build_id_bytes), ("capabilities", \.capabilities),
                ("executable", \.executable), ("command_line", \.command_line),
                ("command_line_bytes", \.command_line_bytes), ("stack_depth", \.stack_depth),
                ("unwinder", \.unwinder), ("census", \.census), ("sample_bytes", \.sample_bytes),
                ("state", \.state), ("stop_reason", \.stop_reason),
                ("module_generation", \.module_generation),
                ("threads_seen_shared", \.threads_seen_shared), ("node_next", \.node_next),
                ("cell_base", \.cell_base), ("cell_next", \.cell_next), ("module_next", \.module_next),
                ("bank_next", \.bank_next), ("marker_page", \.marker_page), ("gauge_page", \.gauge_page),
                ("marker_next", \.marker_next), ("live_bytes", \.live_bytes), ("peak_bytes", \.peak_bytes),
                ("peak_monotonic_ns", \.peak_monotonic_ns), ("peak_epoch", \.peak_epoch),
                ("flush_bytes", \.flush_bytes), ("livemap_root", \.livemap_root),
                ("livemap_unit", \.livemap_unit), ("livemap_chunk_shift", \.livemap_chunk_shift),
                ("own_private_bytes", \.own_private_bytes), ("own_reserved_bytes", \.own_reserved_bytes),
                ("health", \.health), ("mapping_next", \.mapping_next), ("python", \.python),
                ("directory_pages", \.directory_pages), ("weight_shift", \.weight_shift),
                ("mappings", \.mappings),
                ("livemap_side", \.livemap_side), ("python_before", \.python_before),
            ])
    }

    @Test func directory() throws {
        try Self.check(
            memtrack_directory_entry.self, "memtrack_directory_entry",
            [("nodes", \.nodes), ("cells", \.cells), ("modules", \.modules), ("bank", \.bank)])
        let offset = MemoryLayout<memtrack_directory_entry>.offset
        #expect(DirectoryField.nodes.rawValue == offset(\.nodes))
        #expect(DirectoryField.cells.rawValue == offset(\.cells))
        #expect(DirectoryField.modules.rawValue == offset(\.modules))
        #expect(DirectoryField.bank.rawValue == offset(\.bank))
    }

    @Test func tables() throws {
        try Self.check(
            memtrack_node.self, "memtrack_node",
            [
                ("address", \.address), ("parent", \.parent), ("module_index", \.module_index),
                ("flags", \.flags),
            ])
        try Self.check(
            memtrack_cell.self, "memtrack_cell", [("stack", \.stack), ("size_class", \.size_class)])
        try Self.check(
            memtrack_module.self, "memtrack_module",
            [
                ("state", \.state), ("flags", \.flags), ("start", \.start), ("end", \.end), ("bias", \.bias),
                ("generation", \.generation), ("build_id_bytes", \.build_id_bytes), ("build_id", \.build_id),
                ("path", \.path),
            ])
        try Self.check(
            memtrack_marker.self, "memtrack_marker",
            [("state", \.state), ("monotonic_ns", \.monotonic_ns), ("label", \.label)])
        try Self.check(
            memtrack_gauge_record.self, "memtrack_gauge_record",
            [("state", \.state), ("value", \.value), ("name", \.name)])
    }

    @Test func sideTable() throws {
        try Self.check(
            memtrack_side_entry.self, "memtrack_side_entry", [("address", \.address), ("block", \.block)])
    }

    @Test func mapping() throws {
        try Self.check(memtrack_mapping.self, "memtrack_mapping", [("start", \.start), ("bytes", \.bytes)])
    }

    @Test func counters() throws {
        try Self.check(
            memtrack_counters.self, "memtrack_counters",
            [
                ("allocations", \.allocations), ("allocated_bytes", \.allocated_bytes), ("frees", \.frees),
                ("freed_bytes", \.freed_bytes), ("temporary", \.temporary),
                ("peak_sequence", \.peak_sequence), ("peak_epoch", \.peak_epoch),
                ("peak_blocks", \.peak_blocks), ("peak_bytes", \.peak_bytes),
            ])
        try Self.check(
            memtrack_bank.self, "memtrack_bank",
            [
                ("owner", \.owner), ("flags", \.flags), ("owners", \.owners), ("walks", \.walks),
                ("full_walks", \.full_walks), ("reserved0", \.reserved0),
                ("directories", \.directories), ("chunks", \.chunks), ("reserved", \.reserved),
            ])
    }

    @Test func health() throws {
        try Self.check(
            memtrack_health.self, "memtrack_health",
            [
                ("overflow_nodes", \.overflow_nodes), ("overflow_cells", \.overflow_cells),
                ("reentrant", \.reentrant), ("truncated_stacks", \.truncated_stacks),
                ("incomplete_stacks", \.incomplete_stacks), ("foreign_stacks", \.foreign_stacks),
                ("untracked_blocks", \.untracked_blocks), ("untracked_bytes", \.untracked_bytes),
                ("unknown_frees", \.unknown_frees), ("early_blocks", \.early_blocks),
                ("region_refusals", \.region_refusals), ("shared_bank_calls", \.shared_bank_calls),
                ("lost_markers", \.lost_markers), ("lost_gauges", \.lost_gauges),
                ("children_lost", \.children_lost), ("verified_stacks", \.verified_stacks),
                ("verify_mismatches", \.verify_mismatches), ("verify_skipped", \.verify_skipped),
                ("uncounted_allocations", \.uncounted_allocations), ("uncounted_bytes", \.uncounted_bytes),
                ("confined", \.confined), ("lost_modules", \.lost_modules),
                ("lost_python_stacks", \.lost_python_stacks), ("foreign_malloc", \.foreign_malloc),
            ])
    }

    /// The constants that stand in for key paths in the hot loops.
    @Test func hotOffsets() throws {
        #expect(CounterLayout.stride == MemoryLayout<memtrack_counters>.stride)
        let counters: [(Int, PartialKeyPath<memtrack_counters>)] = [
            (CounterLayout.allocations, \.allocations), (CounterLayout.allocatedBytes, \.allocated_bytes),
            (CounterLayout.frees, \.frees), (CounterLayout.freedBytes, \.freed_bytes),
            (CounterLayout.temporary, \.temporary), (CounterLayout.peakSequence, \.peak_sequence),
            (CounterLayout.peakEpoch, \.peak_epoch), (CounterLayout.peakBlocks, \.peak_blocks),
            (CounterLayout.peakBytes, \.peak_bytes),
        ]
        for (offset, path) in counters {
            #expect(MemoryLayout<memtrack_counters>.offset(of: path) == offset, "\(path)")
        }
        // Read together as one word.
        #expect(
            CounterLayout.peakSequence % 8 == 0 && CounterLayout.peakEpoch == CounterLayout.peakSequence + 4)
        #expect(NodeLayout.stride == MemoryLayout<memtrack_node>.stride)
        let node: [(Int, PartialKeyPath<memtrack_node>)] = [
            (NodeLayout.address, \.address), (NodeLayout.parent, \.parent),
            (NodeLayout.module, \.module_index), (NodeLayout.flags, \.flags),
        ]
        for (offset, path) in node {
            #expect(MemoryLayout<memtrack_node>.offset(of: path) == offset, "\(path)")
        }
        #expect(try Self.cFields([])["magic"]?.offset == Int(RegionFile.magic))
    }
}

@Suite struct SizeClassTests {
    /// The definition: 0 to 3, then four equal parts of each power of two, up to 2^48.
    private static let minimums: [UInt64] = {
        var minimums: [UInt64] = [0, 1, 2, 3]
        var power: UInt64 = 4
        while minimums.count < 192 {
            for part in 0..<4 { minimums.append(power + power / 4 * UInt64(part)) }
            power *= 2
        }
        return minimums
    }()

    @Test func smallSizesAgreeWithTheDefinition() {
        for size in 0..<UInt64(70_000) {
            let expected = Self.minimums.lastIndex { $0 <= size }!
            #expect(SizeClass.containing(size) == UInt32(expected))
        }
    }

    @Test func everyBorderIsExact() {
        #expect(SizeClass.count == 192)
        for (sizeClass, minimum) in Self.minimums.enumerated() {
            // No address space holds a block of 2^48 bytes: there the last classes may share.
            if minimum < 1 << 48 {
                #expect(SizeClass.containing(minimum) == UInt32(sizeClass))
            } else {
                #expect(SizeClass.containing(minimum) >= UInt32(sizeClass))
            }
            if minimum > 0, minimum <= 1 << 48 {
                #expect(SizeClass.containing(minimum - 1) == UInt32(sizeClass) - 1)
            }
            let range = SizeClass.range(UInt32(sizeClass))
            #expect(range.lowerBound == minimum)
            if sizeClass < 191 { #expect(range.upperBound == Self.minimums[sizeClass + 1] - 1) }
        }
        #expect(SizeClass.containing(.max) == 191)
        #expect(SizeClass.range(191).upperBound == .max)
    }

    @Test func anyNumberHasARange() {
        for sizeClass in [192, 1_000, UInt32.max] { _ = SizeClass.range(sizeClass) }
    }
}
