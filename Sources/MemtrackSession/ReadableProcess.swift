// SPDX-License-Identifier: Apache-2.0
internal import CMemtrackPeek
internal import Glibc
internal import MemtrackObjects
internal import MemtrackProcfs

/// The address space of a living process, through process_vm_readv(2): no stop, no attach, no trace in the target. The
/// kernel allows it to whoever may ptrace(2) the process: its launcher, under Yama, or root.
struct ReadableProcess: TargetMemory {
    let pid: Int32
    let procfs: Procfs

    func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CensusError) -> Int {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return 0 }
        let got = memtrack_peek(pid, address, base, buffer.count)
        if got >= 0 { return got }
        if got == -Int(ESRCH) { throw .processEnded }
        throw .refused(refusal(errno: Int32(-got)))
    }

    private func refusal(errno: Int32) -> Refusal {
        if errno == ENOSYS { return .noCall }
        if let scope = procfs.yamaScope, scope > 0 { return .yama(scope: scope) }
        return .other
    }

    func populated(_ range: Range<UInt64>) -> [Range<UInt64>] {
        procfs.populatedRanges(of: pid, in: range) ?? [range]
    }
}
