// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

/// What a file says of the data in it that a program's objects point to. Addresses are the file's own.
public struct ObjectFacts: Sendable {
    /// Address of the beginning of the file where it is loaded: mapped at `x`, the bias is `x` less this.
    public var loadAddress: UInt64 = 0
    /// CPython's `PyType_Type`.
    public var pythonType: UInt64?
    /// The file holds Swift types.
    public var hasSwiftTypes = false
    private var starts: [UInt64] = []
    private var ends: [UInt64] = []
    private var names: [String] = []

    /// The class, demangled, whose vtable covers an address.
    public func vtable(at address: UInt64) -> String? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, address < ends[low - 1] else { return nil }
        let prefix = "vtable for "
        let text = demangle(names[low - 1])
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
    }

    init(module: OpaquePointer, elf: OpaquePointer, bias: UInt64) {
        readHeaders(elf)
        readSections(elf)
        var tables: [(start: UInt64, end: UInt64, name: String)] = []
        for index in 0..<max(0, dwfl_module_getsymtab(module)) {
            var symbol = GElf_Sym()
            var address: GElf_Addr = 0
            var section: GElf_Word = 0
            guard
                let name = dwfl_module_getsym_info(module, index, &symbol, &address, &section, nil, nil),
                section != 0, memtrack_symbol_type(symbol.st_info) == UInt8(STT_OBJECT)
            else { continue }
            // Compared as bytes: there may be a million symbols.
            if name[0] == 0x5f, name[1] == 0x5a, name[2] == 0x54, name[3] == 0x56 {  // _ZTV
                let start = address &- bias
                let (end, isOver) = start.addingReportingOverflow(symbol.st_size)
                if !isOver { tables.append((start, end, Self.unversioned(name))) }
            } else if name[0] == 0x50, name[1] == 0x79, name[2] == 0x54,
                Self.unversioned(name) == "PyType_Type"
            {
                pythonType = address &- bias
            }
        }
        tables.sort { ($0.start, $0.name) < ($1.start, $1.name) }
        starts = tables.map(\.start)
        ends = tables.map(\.end)
        names = tables.map(\.name)
    }

    private static func unversioned(_ name: UnsafePointer<CChar>) -> String {
        let text = String(cString: name)
        guard let at = text.utf8.firstIndex(of: UInt8(ascii: "@")) else { return text }
        return String(text[..<at])
    }

    private mutating func readHeaders(_ elf: OpaquePointer) {
        var count = 0
        guard elf_getphdrnum(elf, &count) == 0 else { return }
        for index in 0..<Int32(clamping: min(count, 65536)) {
            var header = GElf_Phdr()
            guard gelf_getphdr(elf, index, &header) != nil else { return }
            guard header.p_type == GElf_Word(PT_LOAD), header.p_offset < 4096 else { continue }
            loadAddress = header.p_vaddr & ~4095
            return
        }
    }

    private mutating func readSections(_ elf: OpaquePointer) {
        var strings = 0
        guard elf_getshdrstrndx(elf, &strings) == 0 else { return }
        var section = elf_nextscn(elf, nil)
        while let current = section {
            var header = GElf_Shdr()
            if gelf_getshdr(current, &header) != nil,
                let name = elf_strptr(elf, strings, Int(header.sh_name)),
                String(cString: name) == "swift5_type_metadata"
            {
                hasSwiftTypes = true
                return
            }
            section = elf_nextscn(elf, current)
        }
    }
}
