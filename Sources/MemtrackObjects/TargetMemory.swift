// SPDX-License-Identifier: Apache-2.0

/// The address space of a process, as the census sees it: the one seam of this module. `process_vm_readv` stands
/// behind it in the programs, an array of bytes in the tests.
public protocol TargetMemory {
    /// Copies what lies at an address and returns how many bytes could be read: fewer than asked for where a page
    /// cannot be read, 0 where the first cannot.
    func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(CensusError) -> Int

    /// The parts of a range that may hold anything but zeros, in order: reading the others would cost the target
    /// page tables. The range itself where that is not known.
    func populated(_ range: Range<UInt64>) -> [Range<UInt64>]
}

/// Why there is no census. The site tables stand without one.
public enum CensusError: Error, Sendable, Hashable {
    /// The kernel refuses to let this process read the memory of that one.
    case refused(Refusal)
    case processEnded
    /// The program was replaced by another (exec) while it was read.
    case processReplaced
    case noLiveMap
    /// The live map does not look like one.
    case unreadableMap
    /// Sampling follows only some of the blocks.
    case sampled
}

/// What is known of a refusal: it decides what a user can do about it.
public enum Refusal: Sendable, Hashable {
    /// `kernel.yama.ptrace_scope` is above 0 (1: descendants alone, 2: root alone, 3: nobody).
    case yama(scope: Int)
    /// The system call is not there.
    case noCall
    case other
}

extension Refusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .yama(1):
            "kernel.yama.ptrace_scope is 1, so that only who has launched a program may, or root: start it with "
                + "memtrack-preload -o, or run memtrack as root"
        case .yama(2): "kernel.yama.ptrace_scope is 2, so that only root may: run memtrack as root"
        case .yama(let scope): "kernel.yama.ptrace_scope is \(scope), so that nobody may until the next boot"
        case .noCall:
            "process_vm_readv is forbidden: a seccomp filter, as of a container, or a kernel without it"
        case .other:
            "it is another user's process or not dumpable, or a seccomp filter forbids process_vm_readv; root may"
        }
    }
}

extension CensusError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let refusal): "the kernel does not let memtrack read the memory (\(refusal))"
        case .processEnded: "ended while objects were being read"
        case .processReplaced: "replaced by another program while objects were being read"
        case .noLiveMap: "there is no map of live blocks: counting has stopped or not begun"
        case .unreadableMap: "the map of live blocks cannot be read"
        case .sampled: "--sample follows only some of the blocks"
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The word at an offset, wherever it is aligned; 0 past the end.
    @inline(__always)
    func word(_ offset: Int) -> UInt64 {
        offset >= 0 && offset &+ 8 <= count ? loadUnaligned(fromByteOffset: offset, as: UInt64.self) : 0
    }
}
