// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

/// Which unit of debug information covers an address.
///
/// Built from the address ranges of the units' root entries: clang, swiftc and rustc do not write
/// .debug_aranges, on which libdw's own lookups rely.
final class UnitIndex {
    private let bias: UInt64
    private let units: [Unit]
    private let ranges: IntervalMap
    /// Units whose root entry tells no range; they are searched by their functions, after all others.
    private let rangeless: [Int]
    private let names = DieNames()

    /// Nil where there is no unit at all. `bias`: address in the DWARF plus bias is address in the file.
    init?(dwarf: OpaquePointer, bias: UInt64, segments: [Range<UInt64>]) {
        self.bias = bias
        var units: [Unit] = []
        var intervals: [Interval] = []
        var rangeless: [Int] = []
        var current: OpaquePointer?
        var next: OpaquePointer?
        var type: UInt8 = 0
        var die = Dwarf_Die()
        // Asking for the split entry here would open every .dwo file.
        while dwarf_get_units(dwarf, current, &next, nil, &type, &die, nil) == 0, let unit = next {
            current = unit
            guard type == UInt8(DW_UT_compile) || type == UInt8(DW_UT_skeleton) else { continue }
            let index = units.count
            units.append(Unit(die))
            var hasRange = false
            forEachRange(of: &die) { start, end in
                hasRange = true
                // Linkers leave the ranges of dropped functions behind, at 0 or 1.
                let place = start &+ bias
                guard segments.contains(where: { $0.contains(place) }) else { return }
                // Where units overlap the first one wins, as in binutils.
                intervals.append(Interval(start: start, end: end, rank: -index, value: index))
            }
            if !hasRange { rangeless.append(index) }
        }
        guard !units.isEmpty else { return nil }
        self.units = units
        self.rangeless = rangeless
        ranges = IntervalMap(intervals)
    }

    /// Innermost first. The outermost function is nil where the debug information tells only the line.
    func frames(at address: UInt64, symbols: SymbolTable) -> [SourceFrame] {
        let address = address &- bias
        if let index = ranges.value(at: address) {
            return frames(at: address, in: units[index], symbols: symbols)
        }
        for index in rangeless where units[index].covers(address) {
            return frames(at: address, in: units[index], symbols: symbols)
        }
        return []
    }

    private func frames(at address: UInt64, in unit: Unit, symbols: SymbolTable) -> [SourceFrame] {
        var location = unit.location(at: address)
        guard let function = unit.function(at: address) else {
            return location.isKnown ? [location.frame(function: nil, isInlined: false)] : []
        }
        var frames: [SourceFrame] = []
        for inlined in unit.inlinedScopes(at: address, in: function) {
            // A C function has no scopes: to look for them costs a walk through the unit.
            let name = unit.isC ? names.plainName(of: inlined.die) : names.name(of: inlined.die)
            frames.append(location.frame(function: name, isInlined: true))
            location = inlined.caller
        }
        frames.append(
            location.frame(function: name(of: function, in: unit, symbols: symbols), isInlined: false))
        return frames
    }

    /// A linkage name is complete. Without one (functions local to a C++ file) the symbol that begins at
    /// the function's entry tells more, its parameters, than a name put together from scopes.
    private func name(of function: Unit.Function, in unit: Unit, symbols: SymbolTable) -> String? {
        if let known = function.name { return known }
        let name =
            names.linkageName(of: function.die)
            ?? (unit.isC ? names.plainName(of: function.die) : nil)
            ?? entrySymbol(of: function, symbols: symbols).map(demangle)
            ?? names.name(of: function.die)
        function.name = name
        return name
    }

    /// A function split in two has a second symbol, `main.cold`, for the part that is seldom run.
    private func entrySymbol(of function: Unit.Function, symbols: SymbolTable) -> String? {
        for start in function.starts {
            if let name = symbols.name(startingAt: start &+ bias), !name.contains(".cold") { return name }
        }
        return nil
    }
}

/// Calls the body with each non-empty range of an entry, [start, end), in the DWARF's addresses.
func forEachRange(of die: inout Dwarf_Die, _ body: (UInt64, UInt64) -> Void) {
    var base: Dwarf_Addr = 0
    var start: Dwarf_Addr = 0
    var end: Dwarf_Addr = 0
    var offset = 0
    while true {
        offset = dwarf_ranges(&die, offset, &base, &start, &end)
        guard offset > 0 else { return }
        if start < end { body(start, end) }
    }
}
