// SPDX-License-Identifier: Apache-2.0

/// What an ELF file tells about whether, and how well, a library can be preloaded into it.
struct ELFFacts: Hashable {
    var is64 = false
    var isBigEndian = false
    var machine: UInt16 = 0
    /// Path of the dynamic loader that the file asks for; nil: the kernel starts it directly.
    var interpreter: RawString?
    /// ET_DYN: may be loaded anywhere.
    var isPositionIndependent = false
    /// DF_1_PIE: a program and not a library.
    var isMarkedProgram = false
    var soname: RawString?
    var needed: [RawString] = []
    var isGo = false
    /// The sanitizer whose run-time library is linked in, as "AddressSanitizer".
    var sanitizer: String?
    /// Allocation functions that the program itself contains, as "malloc" or "je_malloc".
    var ownAllocators: [String] = []

    init(_ file: ELFFile) {
        is64 = file.is64
        isBigEndian = file.isBigEndian
        machine = file.machine
        isPositionIndependent = file.type == 3
        for segment in file.segments where segment.type == 3 && segment.size <= 4096 {
            interpreter = file.reader(segment).text(0).map { RawString($0) }
        }
        readDynamic(file)
        isGo = Self.hasGoNote(file) || file.sections.contains { Self.goSections.contains(file.name(of: $0)) }
        readSymbols(file)
        for library in needed where sanitizer == nil {
            sanitizer = Self.sanitizerLibraries.first { library.hasPrefix($0.prefix) }?.name
        }
    }

    /// Debian, Fedora and others name the runtime of GCC libasan.so.N, that of clang libclang_rt.asan-ARCH.so.
    private static let sanitizerLibraries: [(prefix: String, name: String)] = [
        ("libasan", "AddressSanitizer"), ("libclang_rt.asan", "AddressSanitizer"),
        ("libtsan", "ThreadSanitizer"), ("libclang_rt.tsan", "ThreadSanitizer"),
        ("liblsan", "LeakSanitizer"), ("libclang_rt.lsan", "LeakSanitizer"),
        ("libhwasan", "HWAddressSanitizer"), ("libclang_rt.hwasan", "HWAddressSanitizer"),
        ("libclang_rt.msan", "MemorySanitizer"),
    ]

    private static let sanitizerSymbols: [[UInt8]: String] = [
        Array("__asan_init".utf8): "AddressSanitizer", Array("__tsan_init".utf8): "ThreadSanitizer",
        Array("__lsan_init".utf8): "LeakSanitizer", Array("__hwasan_init".utf8): "HWAddressSanitizer",
        Array("__msan_init".utf8): "MemorySanitizer",
    ]

    /// One function of each allocator that is often linked into programs under a name of its own.
    private static let allocatorSymbols: [[UInt8]: String] = Dictionary(
        uniqueKeysWithValues: [
            "malloc", "je_malloc", "_rjem_malloc", "mi_malloc", "tc_malloc", "rpmalloc", "scalable_malloc",
        ].map { (Array($0.utf8), $0) })

    private static let goSections: [ArraySlice<UInt8>] = [".note.go.buildid", ".go.buildinfo"].map {
        Array($0.utf8)[...]
    }

    private mutating func readDynamic(_ file: ELFFile) {
        guard let dynamic = file.segments.first(where: { $0.type == 2 }) else { return }
        let table = file.reader(dynamic)
        let word = file.is64 ? 8 : 4
        var strings: (address: UInt64, size: UInt64) = (0, 0)
        var names: [UInt64] = []
        var sonameOffset: UInt64?
        var place = 0
        while let tag = table.integer(place, size: word), tag != 0,
            let value = table.integer(place + word, size: word)
        {
            switch tag {
            case 1: names.append(value)  // DT_NEEDED
            case 5: strings.address = value  // DT_STRTAB
            case 10: strings.size = value  // DT_STRSZ
            case 14: sonameOffset = value  // DT_SONAME
            case 0x6fff_fffb: isMarkedProgram = value & 0x0800_0000 != 0  // DT_FLAGS_1, DF_1_PIE
            default: break
            }
            place += 2 * word
        }
        guard let offset = file.offset(ofAddress: strings.address) else { return }
        let text = file.reader(ELFFile.Part(type: 0, offset: offset, address: 0, size: strings.size))
        needed = names.compactMap { text.text($0).map { RawString($0) } }
        soname = sonameOffset.flatMap { text.text($0) }.map { RawString($0) }
    }

    /// A note whose owner is "Go": name size, descriptor size, type (4 bytes each), name, descriptor.
    private static func hasGoNote(_ file: ELFFile) -> Bool {
        for segment in file.segments where segment.type == 4 && segment.size <= 1 << 20 {
            let notes = file.reader(segment)
            var place = 0
            while let nameSize = notes.integer(place, size: 4),
                let descriptorSize = notes.integer(place + 4, size: 4)
            {
                let owner = notes.text(UInt64(place) + 12) ?? []
                if nameSize == 4, owner.elementsEqual("Go".utf8) { return true }
                place += 12 + Int((nameSize + 3) & ~3) + Int((descriptorSize + 3) & ~3)
            }
        }
        return false
    }

    /// Looks through the symbols that the file defines: st_shndx is not 0 (SHN_UNDEF).
    private mutating func readSymbols(_ file: ELFFile) {
        let size = file.is64 ? 24 : 16
        let (sectionAt, sectionSize) = (file.is64 ? 6 : 14, 2)
        var found: Set<String> = []
        // SHT_SYMTAB and SHT_DYNSYM.
        for section in file.sections where section.type == 2 || section.type == 11 {
            guard section.link < file.sections.count else { continue }
            let table = file.reader(section)
            let strings = file.reader(file.sections[Int(section.link)])
            for index in 0..<table.bytes.count / size {
                let place = index * size
                guard let name = table.integer(place, size: 4), name < strings.bytes.count,
                    // Nearly all names are ruled out here, before any of them is cut out and hashed.
                    Self.mayMatter(strings.bytes, Int(name)),
                    table.integer(place + sectionAt, size: sectionSize) != 0,
                    let text = strings.text(name)
                else { continue }
                if let allocator = Self.allocatorSymbols[Array(text)] { found.insert(allocator) }
                if let name = Self.sanitizerSymbols[Array(text)] { sanitizer = name }
            }
        }
        ownAllocators = found.sorted()
    }

    /// Whether the name may end, within 16 bytes, in "malloc" or "_init".
    private static func mayMatter(_ bytes: [UInt8], _ start: Int) -> Bool {
        var end = start
        while end < bytes.count, bytes[end] != 0 {
            end += 1
            if end - start > 16 { return false }
        }
        guard end - start >= 6 else { return false }
        return bytes[end - 1] == UInt8(ascii: "c") || bytes[end - 1] == UInt8(ascii: "t")
    }
}
