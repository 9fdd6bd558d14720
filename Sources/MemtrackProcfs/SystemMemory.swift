// SPDX-License-Identifier: Apache-2.0

/// Memory of the machine, in bytes. Source: `/proc/meminfo`, proc(5).
public struct SystemMemory: Sendable, Hashable {
    public var total: UInt64
    /// What could be given to new programs without swapping (MemAvailable).
    public var available: UInt64

    public init(total: UInt64, available: UInt64) {
        self.total = total
        self.available = available
    }

    init(meminfo: [UInt8], path: String) throws(ProcfsError) {
        var total: UInt64?
        var available: UInt64?
        for line in Lines(meminfo) {
            guard let (key, value) = line.keyAndValue else { continue }
            if key.elementsEqual("MemTotal".utf8) { total = value.kilobytes }
            if key.elementsEqual("MemAvailable".utf8) { available = value.kilobytes }
        }
        guard let total else { throw .malformed(path: path, reason: "it has no readable line 'MemTotal:'") }
        guard let available else {
            throw .malformed(path: path, reason: "it has no readable line 'MemAvailable:'")
        }
        self.init(total: total, available: available)
    }
}
