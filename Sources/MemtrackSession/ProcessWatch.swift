// SPDX-License-Identifier: Apache-2.0
public import MemtrackProcfs
public import MemtrackProfile

/// Measures a process and its descendants through procfs, and takes off what the shim itself uses.
public struct ProcessWatch: Sendable {
    private let procfs: Procfs
    private let totalRAM: UInt64

    public init(procfs: Procfs = Procfs()) {
        self.procfs = procfs
        totalRAM = (try? procfs.systemMemory())?.total ?? 0
    }

    /// Figures of a process and of all its descendants; nil where the process cannot be read (any more).
    ///
    /// PSS costs the kernel a walk over all pages of the process: read it at checkpoints, not more often.
    public func figures(
        of pid: Int32, shim: [Int32: RegionCollector.ShimUse], withPSS: Bool
    ) -> ProcessFigures? {
        guard let memory = try? procfs.memory(of: pid, withPSS: withPSS) else { return nil }
        if let identity = try? procfs.identity(of: pid), identity.hasEnded { return nil }
        let own = shim[pid]
        var children = 0
        var childrenRSS: UInt64 = 0
        var shimBytes = own?.resident ?? 0
        for child in procfs.descendants(of: pid) where !child.hasEnded {
            guard let use = try? procfs.memory(of: child.pid, withPSS: false) else { continue }
            let childShim = shim[child.pid]?.resident ?? 0
            children += 1
            childrenRSS += use.rss.less(childShim)
            shimBytes += childShim
        }
        return ProcessFigures(
            rss: memory.rss.less(own?.resident ?? 0),
            vms: memory.vms.less(own?.addressSpace ?? 0),
            peakRSS: memory.peakRSS.less(own?.resident ?? 0),
            swap: memory.swap,
            pss: memory.pss.map { $0.less(own?.resident ?? 0) },
            totalRAM: totalRAM,
            threads: Int(memory.threads),
            childCount: children,
            childrenRSS: childrenRSS,
            shimBytes: shimBytes)
    }
}

extension UInt64 {
    /// Two measurements of one moment are never quite of one moment: no difference below zero.
    fileprivate func less(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
