// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack

/// What a snapshot finds wrong with the file; `RegionFile` adds the file's name.
enum RegionDamage: Error {
    case corrupted(String)
}

/// The pages of a mapped region, handed out under the rules that keep a hostile file harmless:
///
/// * a page index lies inside the pages that the writer says it has handed out, and inside the file;
/// * no two directory entries name the same page. So the work of a snapshot is bounded by the size of the
///   file, whatever the directories say;
/// * on tmpfs, no more pages are read than the file has: reading a hole would allocate memory.
struct RegionPages {
    let base: UnsafeRawPointer
    /// Pages that the mapping covers.
    let mapped: UInt32
    /// Pages that may yet be read; see `RegionFile.readablePages`.
    private var budget: Int
    /// `header.used_pages`, clamped; read again when a page past it shows up.
    private var used: UInt32 = 0
    /// One bit a page.
    private var claimed: [UInt64]

    static let bytes = Int(MEMTRACK_PAGE)

    init(base: UnsafeRawPointer, mapped: UInt32, budget: Int) {
        self.base = base
        self.mapped = mapped
        self.budget = budget
        claimed = Array(repeating: 0, count: Int(mapped) / 64 + 1)
        refreshUsed()
    }

    var header: UnsafePointer<memtrack_header> { base.assumingMemoryBound(to: memtrack_header.self) }

    /// Pages handed out, and those of the directory that are there.
    var bytesInUse: UInt64 {
        let used = min(header.word(\.used_pages), UInt64(mapped))
        let directory = UInt64(header.word(\.directory_pages).nonzeroBitCount)
        let missing = UInt64(MEMTRACK_FIRST_FREE_PAGE) - 1 - directory
        return (used < missing ? 0 : used - missing) * UInt64(Self.bytes)
    }

    private mutating func refreshUsed() {
        used = UInt32(truncatingIfNeeded: min(header.word(\.used_pages), UInt64(mapped)))
    }

    /// The memory of `count` pages from `index` on; nil for index 0, which means "absent".
    mutating func claim(
        _ index: UInt32, count: UInt32 = 1, _ what: StaticString
    ) throws(RegionDamage) -> UnsafeRawPointer? {
        guard index != 0 else { return nil }
        let (end, overflow) = index.addingReportingOverflow(count)
        if overflow || end > used {
            refreshUsed()
        }
        guard !overflow, end <= used, index >= MEMTRACK_FIRST_FREE_PAGE else {
            throw .corrupted("page \(index) named by \(what) is outside the \(used) pages in use")
        }
        for page in Int(index)..<Int(end) {
            let bit: UInt64 = 1 << UInt64(page & 63)
            guard claimed[page >> 6] & bit == 0 else {
                throw .corrupted("page \(page) named by \(what) has another use already")
            }
            claimed[page >> 6] |= bit
        }
        budget -= Int(count)
        guard budget >= 0 else {
            throw .corrupted("its directories name more pages than the file has")
        }
        return base + Int(index) * Self.bytes
    }
}

extension UnsafePointer {
    /// Fields of a shared record, each one atomic load with acquire order. The key paths are stored
    /// properties of imported C structs, which always have an offset.
    func word(_ field: KeyPath<Pointee, UInt64>) -> UInt64 { memtrack_load_u64(address(of: field)) }
    func word(_ field: KeyPath<Pointee, Int64>) -> Int64 { memtrack_load_i64(address(of: field)) }
    func word(_ field: KeyPath<Pointee, UInt32>) -> UInt32 { memtrack_load_u32(address(of: field)) }

    /// A text field: the bytes before the first NUL or the end of the field, with invalid UTF-8 repaired.
    func text<Field>(_ field: KeyPath<Pointee, Field>) -> String {
        sharedText(address(of: field), capacity: MemoryLayout<Field>.size)
    }

    func bytes<Field>(_ field: KeyPath<Pointee, Field>, count: UInt32) -> [UInt8] {
        let count = min(Int(count), MemoryLayout<Field>.size)
        return Array(UnsafeRawBufferPointer(start: address(of: field), count: count))
    }

    func address(of field: PartialKeyPath<Pointee>) -> UnsafeRawPointer {
        UnsafeRawPointer(self) + MemoryLayout<Pointee>.offset(of: field)!
    }
}

/// Copied once, then searched for its end: the text may change while it is read.
func sharedText(_ start: UnsafeRawPointer, capacity: Int) -> String {
    withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { copy in
        copy.copyMemory(from: UnsafeRawBufferPointer(start: start, count: capacity))
        return String(decoding: copy.prefix { $0 != 0 }, as: UTF8.self)
    }
}
