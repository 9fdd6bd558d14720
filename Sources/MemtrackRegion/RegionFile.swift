// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack
internal import CMemtrackGuard
internal import Glibc
internal import Synchronization

/// A region file, mapped for reading. The mapping and its descriptor are released with the object.
///
/// The file may be written by its process while it is read, and its owner may do anything to it: damage is an
/// error, never a trap. A file that is cut short during a read is an error as well (see
/// `memtrack_guard.h`).
public final class RegionFile: @unchecked Sendable {
    // Sendable: nothing but `nodes` changes after init, the shared memory is read through atomic loads alone, and a
    // mapping that is made anew has the same place and the same content.

    public let path: String
    private let descriptor: Int32
    private let base: UnsafeRawPointer
    private let bytes: Int
    private let isOnTmpfs: Bool
    public let inode: UInt64
    /// Nodes of earlier snapshots. Taken out while one is made: of two at once, one starts from nothing.
    private let nodes = Mutex(NodeTable())
    private let numbers = Mutex<Numbers?>(nil)
    private struct Numbers: Sendable {
        var pid: Int32
        var parentPID: Int32
        var namespace: UInt64
    }

    /// No region can use more pages than its directories can name, 8.4 million; a file that claims more is
    /// mapped up to here (64 GiB of address space).
    private static let maximumBytes = 1 << 36
    /// Pages a snapshot may read beyond those that a tmpfs file had when it began: growth meanwhile.
    private static let growthPages = 1 << 14

    /// Errors: all cases of `RegionError` but `.notPrivate`.
    public init(path: String) throws(RegionError) {
        self.path = path
        // O_NONBLOCK: a FIFO must not keep us waiting. O_NOCTTY: nor a terminal become ours.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw Self.openError(path, errno) }
        do throws(RegionError) {
            let size = try Self.check(descriptor, path)
            let bytes = Int(min(size, UInt64(Self.maximumBytes)))
            guard let base = mmap(nil, bytes, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
                throw .system(path, call: "mmap", errno: errno)
            }
            self.base = UnsafeRawPointer(base)
            self.bytes = bytes
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        var status = stat()
        inode = fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : 0
        isOnTmpfs = memtrack_guard_is_tmpfs(descriptor) == 1
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: base), bytes)
        close(descriptor)
    }

    /// Everything the region says at this moment. Cost: about one look at each page of counters, and at those of
    /// stacks that have been added since the snapshot before; 100,000 cells take some milliseconds.
    public func snapshot() throws(RegionError) -> RegionSnapshot {
        // Handed on, never held twice: else the first change would copy it.
        var known = nodes.withLock { $0.taken() }
        let (snapshot, table) = try read { (pages) throws(RegionDamage) in
            var reader = SnapshotReader(pages: pages, table: known.taken())
            return (try reader.read(), reader.table)
        }
        nodes.withLock { $0 = table }
        var renumbered = snapshot
        renumber(&renumbered.identity)
        return renumbered
    }

    /// The header's identity alone.
    public func identity() throws(RegionError) -> RegionIdentity {
        var identity = try read { (pages) throws(RegionDamage) in try pages.header.identity() }
        renumber(&identity)
        return identity
    }

    /// The region is that of a process of another PID namespace, which has these numbers in ours. All that is read from now
    /// on has them in place of its own.
    public func renumber(pid: Int32, parentPID: Int32, namespace: UInt64) {
        numbers.withLock { $0 = Numbers(pid: pid, parentPID: parentPID, namespace: namespace) }
    }

    private func renumber(_ identity: inout RegionIdentity) {
        guard let numbers = numbers.withLock({ $0 }) else { return }
        identity.pid = numbers.pid
        identity.parentPID = numbers.parentPID
        identity.pidNamespace = numbers.namespace
    }

    /// What the shim itself uses in the target. The header alone is read.
    public func ownMemory() throws(RegionError) -> RegionOwnMemory {
        try read { (pages) throws(RegionDamage) in
            let header = pages.header
            return RegionOwnMemory(
                regionBytes: pages.bytesInUse,
                reservedBytes: header.word(\.own_reserved_bytes), mappings: header.mappings())
        }
    }

    /// Runs `body` over the mapping, with the file's size checked and guarded against a change of it.
    private func read<Value>(
        _ body: (RegionPages) throws(RegionDamage) -> Value
    ) throws(RegionError) -> Value {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(path, call: "fstat", errno: errno) }
        guard status.st_size >= bytes else { throw truncated(UInt64(max(0, status.st_size))) }

        let guarded = memtrack_guard_begin(base, bytes)
        guard guarded == 0 else { throw .system(path, call: "sigaction", errno: guarded) }
        // st_blocks counts units of 512 bytes.
        let present = Int(status.st_blocks) / (RegionPages.bytes / 512)
        let pages = RegionPages(
            base: base, mapped: UInt32(bytes / RegionPages.bytes),
            budget: isOnTmpfs ? present + Self.growthPages : Int.max)
        let result = Result { () throws(RegionDamage) in try body(pages) }
        guard memtrack_guard_end() == 0 else {
            mapAnew()
            throw truncated(fstat(descriptor, &status) == 0 ? UInt64(max(0, status.st_size)) : 0)
        }
        switch result {
        case .success(let value): return value
        case .failure(.corrupted(let what)): throw .corrupted(path, what)
        }
    }

    /// Puts the file in place of the zero pages that the guard left.
    private func mapAnew() {
        let place = UnsafeMutableRawPointer(mutating: base)
        mmap(place, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0)
    }

    private func truncated(_ found: UInt64) -> RegionError {
        .truncated(path, expected: UInt64(bytes), found: found)
    }
}

/// What the shim itself uses in the target.
public struct RegionOwnMemory: Sendable, Hashable {
    /// Pages of the region file in use, all of them resident. In bytes.
    public var regionBytes: UInt64
    /// Address space that the shim reserved, the region included, in bytes.
    public var reservedBytes: UInt64
    /// Its private memory; `/proc/PID/pagemap` tells how much of it is resident.
    public var mappings: [RegionMapping]
}

/// The checks made before anything is mapped.
extension RegionFile {
    /// `MEMTRACK_MAGIC`, a macro that Swift does not import: `\0MEMTRK1`, read as a little-endian word.
    static let magic: UInt64 = 0x314b_5254_4d45_4d00

    private static func openError(_ path: String, _ code: Int32) -> RegionError {
        switch code {
        case ENOENT, ENOTDIR: .notFound(path)
        case ELOOP: .notARegion(path, "it is a symbolic link")
        case ENXIO: .notARegion(path, "it is a socket or a device")
        default: .system(path, call: "open", errno: code)
        }
    }

    /// Returns `file_bytes` of the header once it is plausible.
    private static func check(_ descriptor: Int32, _ path: String) throws(RegionError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(path, call: "fstat", errno: errno) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw .notARegion(path, "it is a directory")
        default: throw .notARegion(path, "it is no regular file")
        }
        let user = geteuid()
        guard user == 0 || status.st_uid == user else { throw .notOwned(path, owner: status.st_uid) }

        let size = UInt64(max(0, status.st_size))
        guard size > 0 else { throw .notReady(path) }
        var start = RegionStart()
        let headBytes = MemoryLayout<RegionStart>.size
        let got = pread(descriptor, &start, headBytes, 0)
        guard got >= 0 else { throw .system(path, call: "read", errno: errno) }
        guard got == headBytes else { throw .notARegion(path, "it has \(size) bytes") }
        // The magic is the last word written; until then a region is a file of zeros.
        guard start.magic != 0 else { throw .notReady(path) }
        guard start.magic == magic else { throw .notARegion(path, "it does not begin as one") }
        guard start.abiVersion == MEMTRACK_ABI_VERSION else {
            throw .otherABI(path, found: start.abiVersion, expected: MEMTRACK_ABI_VERSION)
        }
        guard start.headerBytes == UInt32(MemoryLayout<memtrack_header>.size) else {
            throw .corrupted(path, "header_bytes is \(start.headerBytes)")
        }
        let minimum = UInt64(MEMTRACK_FIRST_FREE_PAGE) * UInt64(MEMTRACK_PAGE)
        guard start.fileBytes >= minimum, start.fileBytes % UInt64(MEMTRACK_PAGE) == 0 else {
            throw .corrupted(path, "file_bytes is \(start.fileBytes)")
        }
        guard size >= start.fileBytes else { throw .truncated(path, expected: start.fileBytes, found: size) }
        return start.fileBytes
    }
}

/// The first fields of `struct memtrack_header`, which never change once the magic is there.
private struct RegionStart {
    var magic: UInt64 = 0
    var abiVersion: UInt32 = 0
    var headerBytes: UInt32 = 0
    var fileBytes: UInt64 = 0
}
