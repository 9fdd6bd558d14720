// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import MemtrackRegion
import MemtrackSymbols

/// Builds snapshots from stacks written as names, and answers for the names as a symbolizer would.
struct FakeProcess {
    var snapshot: RegionSnapshot
    private var names: [UInt64: [SourceFrame]] = [:]
    private var nodeIDs: [String: UInt32] = [:]

    static let modulePath = "/opt/bot/bin/bot"
    static let bias: UInt64 = 0x5555_0000_0000

    init(pid: Int32 = 4211, parent: Int32 = 1, created: UInt64 = 1_000) {
        snapshot = RegionSnapshot(
            identity: RegionIdentity(
                pid: pid, parentPID: parent, createdBoottimeNanoseconds: 1, pidNamespace: 1, bootID: "b",
                createdRealtimeNanoseconds: 0, createdMonotonicNanoseconds: created,
                parentCreatedMonotonicNanoseconds: 0, uid: 0, origin: .exec, executable: Self.modulePath,
                arguments: ["bot"]))
        snapshot.modules[1] = RegionModule(
            start: Self.bias, end: Self.bias + 0x100_0000, bias: Self.bias, buildID: [1, 2],
            path: Self.modulePath)
    }

    /// Adds allocations of `bytes` each, made by a stack given innermost first.
    mutating func allocate(
        _ stack: [String], bytes: UInt64, count: UInt64, freed: UInt64 = 0, temporary: UInt64 = 0,
        peak: Int64 = 0, line: Int? = nil
    ) {
        var parent: UInt32 = 0
        var path = ""
        for name in stack.reversed() {
            path += "/" + name
            if let id = nodeIDs[path] {
                parent = id
                continue
            }
            let id = UInt32(snapshot.nodes.count)
            // FNV-1a of the name, so that two processes agree on where a function is.
            var address: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in name.utf8 { address = (address ^ UInt64(byte)) &* 0x100_0000_01b3 }
            address = address % 0x80_0000
            names[address] = [
                SourceFrame(function: name, file: line == nil ? nil : "/src/bot.cpp", line: line)
            ]
            snapshot.nodes.append(
                RegionNode(address: Self.bias + address + 1, parent: parent, module: 1))
            nodeIDs[path] = id
            parent = id
        }
        var counters = Counters()
        counters.allocations = count
        counters.allocatedBytes = count * bytes
        counters.frees = freed
        counters.freedBytes = freed * bytes
        counters.temporary = temporary
        counters.peakBlocks = peak
        counters.peakBytes = peak * Int64(bytes)
        snapshot.cells.append(
            RegionCell(
                kind: .site, stack: parent, sizeClass: SizeClass.containing(bytes), counters: counters))
        snapshot.totals += counters
    }

    func symbolize(_ file: CodeFile, _ address: UInt64) -> [SourceFrame] { names[address] ?? [] }

    func profile(wrappers: WrapperMatcher = WrapperMatcher()) -> Profile {
        ProfileBuilder(wrappers: wrappers, symbolize: symbolize).profile(of: snapshot)
    }

    /// The function on which one allocation with this stack is booked.
    static func site(_ stack: [String], wrappers: WrapperMatcher = WrapperMatcher()) -> String? {
        var process = FakeProcess()
        process.allocate(stack, bytes: 8, count: 1)
        return process.profile(wrappers: wrappers).sites.first?.frame.function
    }
}
