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
    /// PSS costs the kernel a walk over all pages of the process: see `CostLimit`.
    public func figures(of pid: Int32, shim: [Int32: ShimUse], withPSS: Bool) -> ProcessFigures? {
        // A process that has ended and was not collected yet has all figures 0.
        guard let memory = try? procfs.memory(of: pid, withPSS: withPSS), memory.rss > 0 else { return nil }
        var figures = ProcessFigures(memory, shim: shim[pid])
        figures.totalRAM = totalRAM
        for child in procfs.descendants(of: pid) where !child.hasEnded {
            guard let use = try? procfs.memory(of: child.pid, withPSS: false) else { continue }
            let childShim = shim[child.pid]?.resident ?? 0
            figures.childCount += 1
            figures.childrenRSS += use.rss.less(childShim)
            figures.shimBytes += childShim
        }
        figures.totalRSS = figures.rss &+ figures.childrenRSS
        return figures
    }
}

extension ProcessFigures {
    /// Of one process alone, without what the shim uses in it.
    init(_ memory: ProcessMemory, shim: ShimUse?) {
        let own = shim?.resident ?? 0
        self.init(
            rss: memory.rss.less(own), vms: memory.vms.less(shim?.addressSpace ?? 0),
            peakRSS: memory.peakRSS.less(own), swap: memory.swap, pss: memory.pss.map { $0.less(own) },
            threads: Int(clamping: memory.threads), shimBytes: own)
    }
}

extension UInt64 {
    /// Two measurements of one moment are never quite of one moment: no difference below zero.
    fileprivate func less(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
