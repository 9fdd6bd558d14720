// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// Header fields turned into values. See `struct memtrack_header` in `region.h`.
extension UnsafePointer<memtrack_header> {
    func identity() throws(RegionDamage) -> RegionIdentity {
        let origin: RegionIdentity.Origin
        switch word(\.origin) {
        case MEMTRACK_ORIGIN_EXEC.rawValue: origin = .exec
        case MEMTRACK_ORIGIN_FORK.rawValue: origin = .fork
        case let other: throw .corrupted("origin is \(other)")
        }
        return RegionIdentity(
            pid: Int32(bitPattern: word(\.pid)),
            parentPID: Int32(bitPattern: word(\.parent_pid)),
            createdBoottimeNanoseconds: word(\.created_boottime_ns),
            pidNamespace: word(\.pid_namespace),
            bootID: text(\.boot_id),
            createdRealtimeNanoseconds: word(\.created_realtime_ns),
            createdMonotonicNanoseconds: word(\.created_monotonic_ns),
            parentCreatedMonotonicNanoseconds: word(\.parent_created_monotonic_ns),
            uid: word(\.uid),
            origin: origin,
            executable: text(\.executable),
            arguments: arguments())
    }

    /// Arguments are separated by NUL; one NUL at the very end is a terminator, as in `/proc/PID/cmdline`.
    private func arguments() -> [String] {
        var bytes = bytes(\.command_line, count: word(\.command_line_bytes))
        guard !bytes.isEmpty else { return [] }
        if bytes.last == 0 { bytes.removeLast() }
        return bytes.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    func state() throws(RegionDamage) -> RegionState {
        switch word(\.state) {
        case MEMTRACK_STATE_STARTING.rawValue: return .starting
        case MEMTRACK_STATE_COUNTING.rawValue: return .counting
        case MEMTRACK_STATE_STOPPED.rawValue: return .stopped(reason: word(\.stop_reason))
        case let other: throw .corrupted("state is \(other)")
        }
    }

    func unwinder() throws(RegionDamage) -> RegionUnwinder {
        switch word(\.unwinder) {
        case MEMTRACK_UNWINDER_RULES.rawValue: return .rules
        case MEMTRACK_UNWINDER_LIBUNWIND.rawValue: return .libunwind
        case MEMTRACK_UNWINDER_CALL_SITE.rawValue: return .callSite
        case let other: throw .corrupted("unwinder is \(other)")
        }
    }

    func health() -> RegionHealth {
        var health = RegionHealth()
        health.overflowNodes = word(\.health.overflow_nodes)
        health.overflowCells = word(\.health.overflow_cells)
        health.reentrant = word(\.health.reentrant)
        health.truncatedStacks = word(\.health.truncated_stacks)
        health.incompleteStacks = word(\.health.incomplete_stacks)
        health.foreignStacks = word(\.health.foreign_stacks)
        health.untrackedBlocks = word(\.health.untracked_blocks)
        health.untrackedBytes = word(\.health.untracked_bytes)
        health.unknownFrees = word(\.health.unknown_frees)
        health.earlyBlocks = word(\.health.early_blocks)
        health.regionRefusals = word(\.health.region_refusals)
        health.sharedBankCalls = word(\.health.shared_bank_calls)
        health.lostMarkers = word(\.health.lost_markers)
        health.lostGauges = word(\.health.lost_gauges)
        health.lostModules = word(\.health.lost_modules)
        health.lostPythonStacks = word(\.health.lost_python_stacks)
        health.childrenLost = word(\.health.children_lost)
        health.verifiedStacks = word(\.health.verified_stacks)
        health.verifyMismatches = word(\.health.verify_mismatches)
        health.verifySkipped = word(\.health.verify_skipped)
        health.uncountedAllocations = word(\.health.uncounted_allocations)
        health.uncountedBytes = word(\.health.uncounted_bytes)
        health.confined = word(\.health.confined)
        health.foreignMalloc = word(\.health.foreign_malloc)
        return health
    }

    /// The whole table is looked through: entries are freed and used again in any order.
    func mappings() -> [RegionMapping] {
        let table = address(of: \.mappings)
        return (0..<Int(MEMTRACK_MAPPINGS)).compactMap { index in
            let entry = table + index * MemoryLayout<memtrack_mapping>.stride
            let start = memtrack_load_u64(entry)
            return start == 0 ? nil : RegionMapping(start: start, bytes: memtrack_load_u64(entry + 8))
        }
    }
}
