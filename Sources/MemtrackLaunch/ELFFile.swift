// SPDX-License-Identifier: Apache-2.0

/// The tables of an ELF file. Source: elf(5) and the System V ABI, chapters 4 and 5.
///
/// Only a damaged file header or program header table is an error, for the kernel reads no more than these;
/// everything else that is damaged or cut off is left out.
struct ELFFile {
    enum Damage: Error, Hashable {
        case notELF
        case header
        case programHeaders
    }

    /// A program header or a section header, with the fields that matter here.
    struct Part: Hashable {
        var type: UInt32
        var name: UInt32 = 0
        var offset: UInt64
        var address: UInt64
        var size: UInt64
        /// Section index of the string table that belongs to a symbol table.
        var link: UInt32 = 0
    }

    static let machineAMD64: UInt16 = 62

    let source: ByteSource
    let is64: Bool
    let isBigEndian: Bool
    let type: UInt16
    let machine: UInt16
    private(set) var segments: [Part] = []
    private(set) var sections: [Part] = []
    private var sectionNames = IntegerReader(bytes: [], isBigEndian: false)

    init(_ source: ByteSource) throws(Damage) {
        let ident = source.prefix(16)
        guard ident.starts(with: [0x7f, 0x45, 0x4c, 0x46]) else { throw .notELF }
        guard ident.count == 16, ident[4] == 1 || ident[4] == 2, ident[5] == 1 || ident[5] == 2 else {
            throw .header
        }
        let is64 = ident[4] == 2
        let isBigEndian = ident[5] == 2
        let headerBytes: UInt64 = is64 ? 64 : 52
        guard let bytes = source.bytes(at: 0, count: headerBytes) else { throw .header }
        let header = IntegerReader(bytes: bytes, isBigEndian: isBigEndian)
        // Offsets of the fields: 32-bit, 64-bit.
        func field(_ at32: Int, _ at64: Int, _ size32: Int, _ size64: Int) -> UInt64 {
            header.integer(is64 ? at64 : at32, size: is64 ? size64 : size32) ?? 0
        }
        self.source = source
        self.is64 = is64
        self.isBigEndian = isBigEndian
        type = UInt16(truncatingIfNeeded: field(16, 16, 2, 2))
        machine = UInt16(truncatingIfNeeded: field(18, 18, 2, 2))

        let segmentBytes: UInt64 = is64 ? 56 : 32
        let segmentCount = field(44, 56, 2, 2)
        guard segmentCount == 0 || field(42, 54, 2, 2) == segmentBytes,
            let table = source.bytes(at: field(28, 32, 4, 8), count: segmentCount * segmentBytes)
        else { throw .programHeaders }
        segments = Self.parts(table, UInt64(segmentCount), is64, isBigEndian) { read in
            is64
                ? Part(type: UInt32(read(0, 4)), offset: read(8, 8), address: read(16, 8), size: read(32, 8))
                : Part(type: UInt32(read(0, 4)), offset: read(4, 4), address: read(8, 4), size: read(16, 4))
        }
        let sectionBytes: UInt64 = is64 ? 64 : 40
        let sectionCount = field(48, 60, 2, 2)
        if field(46, 58, 2, 2) == sectionBytes,
            let table = source.bytes(at: field(32, 40, 4, 8), count: sectionCount * sectionBytes)
        {
            sections = Self.parts(table, sectionCount, is64, isBigEndian) { read in
                is64
                    ? Part(
                        type: UInt32(read(4, 4)), name: UInt32(read(0, 4)), offset: read(24, 8),
                        address: read(16, 8), size: read(32, 8), link: UInt32(read(40, 4)))
                    : Part(
                        type: UInt32(read(4, 4)), name: UInt32(read(0, 4)), offset: read(16, 4),
                        address: read(12, 4), size: read(20, 4), link: UInt32(read(24, 4)))
            }
            let names = Int(field(50, 62, 2, 2))
            if names < sections.count { sectionNames = reader(sections[names]) }
        }
    }

    private static func parts(
        _ table: [UInt8], _ count: UInt64, _ is64: Bool, _ isBigEndian: Bool,
        _ make: ((_ offset: Int, _ size: Int) -> UInt64) -> Part
    ) -> [Part] {
        guard count > 0 else { return [] }
        let reader = IntegerReader(bytes: table, isBigEndian: isBigEndian)
        let stride = table.count / Int(count)
        return (0..<Int(count)).map { index in
            make { offset, size in reader.integer(index * stride + offset, size: size) ?? 0 }
        }
    }

    /// The contents, or nothing where they are not all in the file.
    func reader(_ part: Part) -> IntegerReader {
        IntegerReader(bytes: source.bytes(at: part.offset, count: part.size) ?? [], isBigEndian: isBigEndian)
    }

    func name(of section: Part) -> ArraySlice<UInt8> { sectionNames.text(UInt64(section.name)) ?? [] }

    /// File offset of an address, through the loadable segments.
    func offset(ofAddress address: UInt64) -> UInt64? {
        for segment in segments where segment.type == 1 && address >= segment.address {
            let distance = address - segment.address
            if distance < segment.size { return segment.offset &+ distance }
        }
        return nil
    }
}
