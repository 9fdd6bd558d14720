// SPDX-License-Identifier: Apache-2.0
internal import MemtrackProcfs
internal import MemtrackRegion

/// What the shim uses in one process, in bytes.
public struct ShimUse: Sendable, Hashable {
    public var resident: UInt64
    public var addressSpace: UInt64

    public init(resident: UInt64, addressSpace: UInt64) {
        self.resident = resident
        self.addressSpace = addressSpace
    }
}

extension ShimUse {
    /// More than any shim maps; a region that claims more is damaged, and not worth the walk.
    private static let rangeLimit: UInt64 = 1 << 34

    /// Measures the private memory of the shim in a process; that of the region is in its header.
    init(of pid: Int32, own: RegionOwnMemory, procfs: Procfs) {
        let ranges = own.mappings.compactMap { mapping -> Range<UInt64>? in
            let (end, isOver) = mapping.start.addingReportingOverflow(mapping.bytes)
            return isOver || mapping.bytes > Self.rangeLimit ? nil : mapping.start..<end
        }
        self.init(
            resident: own.regionBytes &+ (procfs.residentBytes(of: pid, ranges: ranges) ?? 0),
            addressSpace: own.reservedBytes)
    }
}
