// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

/// The functions that an object's symbol table names (.symtab, of the file or of its separate debug file,
/// else .dynsym), by address.
///
/// A symbol covers its own size. One of size 0 (assembler) covers what no sized symbol does, up to the
/// next symbol or the end of its segment. Addresses are the object's own.
struct SymbolTable {
    private struct Symbol {
        var start: UInt64
        var end: UInt64
        /// In the ELF file's string table: valid as long as the module it came from.
        var name: UnsafePointer<CChar>
        var preference: Int
    }

    private var symbols: [Symbol] = []
    private var sized = IntervalMap([])
    private let segments: [Range<UInt64>]
    /// False for a stripped object: .dynsym has no local functions.
    private(set) var hasLocalFunctions = false

    var isEmpty: Bool { symbols.isEmpty }

    /// `segments`: the executable ones of the object.
    init(module: OpaquePointer, bias: UInt64, segments: [Range<UInt64>]) {
        self.segments = segments
        let count = dwfl_module_getsymtab(module)
        guard count > 0 else { return }
        var all: [Symbol] = []
        for index in 0..<count {
            var symbol = GElf_Sym()
            var address: GElf_Addr = 0
            var section: GElf_Word = 0
            guard
                let name = dwfl_module_getsym_info(module, index, &symbol, &address, &section, nil, nil),
                name.pointee != 0, section != 0, section != SymbolTable.absoluteSection
            else { continue }
            let type = memtrack_symbol_type(symbol.st_info)
            let isFunction = type == UInt8(STT_FUNC) || type == UInt8(STT_GNU_IFUNC)
            let start = address &- bias
            guard isFunction || type == UInt8(STT_NOTYPE), contains(start) else { continue }
            let binding = memtrack_symbol_binding(symbol.st_info)
            if isFunction && binding == UInt8(STB_LOCAL) { hasLocalFunctions = true }
            let (end, overflow) = start.addingReportingOverflow(symbol.st_size)
            all.append(
                Symbol(
                    start: start, end: overflow ? start : end, name: name,
                    preference: preference(
                        isFunction: isFunction, binding: binding, isSized: symbol.st_size > 0, name: name)))
        }
        symbols = onePerAddress(all)
        sized = IntervalMap(
            symbols.indices.map {
                // A later start ranks higher: the inner one of two nested functions.
                Interval(start: symbols[$0].start, end: symbols[$0].end, rank: $0, value: $0)
            })
    }

    /// The mangled name of the function that covers an address.
    func name(at address: UInt64) -> String? {
        if let index = sized.value(at: address) { return name(of: symbols[index]) }
        guard let nearest = lastIndex(upTo: address) else { return nil }
        let symbol = symbols[nearest]
        guard symbol.end == symbol.start,
            segments.contains(where: { $0.contains(address) && $0.contains(symbol.start) })
        else { return nil }
        return name(of: symbol)
    }

    /// The mangled name of the function that begins at an address.
    func name(startingAt address: UInt64) -> String? {
        guard let index = lastIndex(upTo: address), symbols[index].start == address else { return nil }
        return name(of: symbols[index])
    }

    private static let absoluteSection = GElf_Word(SHN_ABS)

    private func contains(_ address: UInt64) -> Bool {
        segments.contains { $0.contains(address) }
    }

    private func lastIndex(upTo address: UInt64) -> Int? {
        var low = 0
        var high = symbols.count
        while low < high {
            let middle = (low + high) / 2
            if symbols[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }

    /// Without the version that linkers append: `memcpy@@GLIBC_2.14`.
    private func name(of symbol: Symbol) -> String {
        let name = String(cString: symbol.name)
        guard let at = name.utf8.dropFirst().firstIndex(of: UInt8(ascii: "@")), !name.hasPrefix("@") else {
            return name
        }
        return String(name[..<at])
    }

    /// Which of several names for one address a reader wants to see: a function's rather than a label's,
    /// one with a size, a global one, one without leading underscores (which mangled names have anyway).
    private func preference(
        isFunction: Bool, binding: UInt8, isSized: Bool, name: UnsafePointer<CChar>
    ) -> Int {
        var preference = 0
        if isSized { preference += 16 }
        if isFunction { preference += 8 }
        if binding == UInt8(STB_GLOBAL) {
            preference += 4
        } else if binding == UInt8(STB_WEAK) {
            preference += 2
        }
        if name[0] != CChar(UInt8(ascii: "_")) || name[1] == CChar(UInt8(ascii: "Z")) { preference += 1 }
        return preference
    }

    private func onePerAddress(_ all: [Symbol]) -> [Symbol] {
        var order = Array(all.indices)
        // Equal ones keep the order of the table, so that the choice is the same each time.
        order.sort {
            let (left, right) = (all[$0], all[$1])
            if left.start != right.start { return left.start < right.start }
            if left.preference != right.preference { return left.preference > right.preference }
            return $0 < $1
        }
        var kept: [Symbol] = []
        for index in order where kept.last?.start != all[index].start { kept.append(all[index]) }
        return kept
    }
}
