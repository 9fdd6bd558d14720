// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

/// A place in a source file.
struct SourceLocation {
    var file: String?
    /// Nil for code that the compiler made up (line 0 in the line table).
    var line: Int?

    var isKnown: Bool { file != nil }

    func frame(function: String?, isInlined: Bool) -> SourceFrame {
        SourceFrame(function: function, file: file, line: line, isInlined: isInlined)
    }
}

/// One compilation unit: its functions, what was inlined into them, and its line table.
///
/// Nothing is read before an address in the unit is asked for. Then its functions are listed without a
/// look inside them, and a function's inlined calls when an address in that function is asked for.
final class Unit {
    final class Function {
        let die: Dwarf_Die
        /// Where its pieces begin, in the DWARF's addresses: one is its entry, another its cold part.
        let starts: [UInt64]
        var name: String?
        fileprivate var scopes: InlinedScopes?

        fileprivate init(die: Dwarf_Die, starts: [UInt64]) {
            self.die = die
            self.starts = starts
        }
    }

    /// The root entry in the file itself: the line table hangs on it, also where the unit is split.
    private var skeleton: Dwarf_Die
    /// The root entry with the functions: of the .dwo file where the unit is split.
    private lazy var root: Dwarf_Die = splitRoot() ?? skeleton
    private(set) lazy var isC = cLanguages.contains(dwarf_srclang(&root))
    private lazy var isCFamily = isC || cPlusPlusLanguages.contains(dwarf_srclang(&root))
    private var functions: [Function] = []
    private var functionRanges: IntervalMap?
    private var isSearchedThroughout = false
    private var paths: [UnsafePointer<CChar>: String] = [:]
    private lazy var files: OpaquePointer? = sourceFiles()

    init(_ die: Dwarf_Die) {
        skeleton = die
    }

    /// Whether a function of the unit contains the address.
    func covers(_ address: UInt64) -> Bool { function(at: address) != nil }

    func function(at address: UInt64) -> Function? {
        if functionRanges == nil { listFunctions(everywhere: false) }
        if let index = functionRanges?.value(at: address) { return functions[index] }
        // Members of classes local to a function, and nested functions, lie deeper: once, look everywhere.
        guard !isSearchedThroughout else { return nil }
        listFunctions(everywhere: true)
        return functionRanges?.value(at: address).map { functions[$0] }
    }

    /// The calls inlined at an address, innermost first.
    func inlinedScopes(at address: UInt64, in function: Function) -> [(
        die: Dwarf_Die, caller: SourceLocation
    )] {
        let scopes = function.scopes ?? InlinedScopes(of: function.die, limit: size)
        function.scopes = scopes
        return scopes.chain(at: address).map { (die: $0, caller: callSite(of: $0)) }
    }

    func location(at address: UInt64) -> SourceLocation {
        // A binary search in a table that libdw decodes once and keeps.
        guard let line = dwarf_getsrc_die(&skeleton, address) else { return SourceLocation() }
        var number: Int32 = 0
        dwarf_lineno(line, &number)
        return SourceLocation(file: path(dwarf_linesrc(line, nil, nil)), line: number > 0 ? Int(number) : nil)
    }

    // MARK: - Reading

    private func splitRoot() -> Dwarf_Die? {
        var split = Dwarf_Die()
        var type: UInt8 = 0
        guard dwarf_cu_info(skeleton.cu, nil, &type, nil, &split, nil, nil, nil) == 0,
            type == UInt8(DW_UT_skeleton), split.addr != nil
        else { return nil }
        return split
    }

    /// Size in bytes, which no honest walk over its entries can exceed in steps.
    private lazy var size: Int = {
        let start = dwarf_dieoffset(&root) &- dwarf_cuoffset(&root)
        var next: Dwarf_Off = 0
        var headerSize = 0
        guard
            dwarf_next_unit(
                dwarf_cu_getdwarf(root.cu), start, &next, &headerSize, nil, nil, nil, nil, nil, nil) == 0,
            next > start
        else { return 1 << 20 }
        return Int(clamping: next - start)
    }()

    private func listFunctions(everywhere: Bool) {
        isSearchedThroughout = everywhere
        functions = []
        var intervals: [Interval] = []
        walk(from: root, limit: size, context: ()) { die, _ in
            switch Int(dwarf_tag(&die)) {
            case DW_TAG_subprogram:
                var starts: [UInt64] = []
                forEachRange(of: &die) { start, end in
                    starts.append(start)
                    intervals.append(
                        Interval(start: start, end: end, rank: intervals.count, value: functions.count))
                }
                if !starts.isEmpty { functions.append(Function(die: die, starts: starts)) }
                return everywhere ? () : nil
            case DW_TAG_namespace, DW_TAG_module:
                return ()
            case DW_TAG_structure_type, DW_TAG_class_type, DW_TAG_union_type, DW_TAG_enumeration_type,
                DW_TAG_interface_type, DW_TAG_variant_part, DW_TAG_variant:
                // C and C++ compilers keep the code of members apart from the type.
                return everywhere || !isCFamily ? () : nil
            case DW_TAG_lexical_block, DW_TAG_inlined_subroutine, DW_TAG_try_block, DW_TAG_catch_block:
                return everywhere ? () : nil
            default:
                return nil
            }
        }
        functionRanges = IntervalMap(intervals)
    }

    private func callSite(of die: Dwarf_Die) -> SourceLocation {
        var die = die
        guard let line = number(DW_AT_call_line, of: &die), let file = number(DW_AT_call_file, of: &die)
        else {
            return SourceLocation()
        }
        return SourceLocation(
            file: path(dwarf_filesrc(files, Int(clamping: file), nil, nil)),
            line: line > 0 ? Int(clamping: line) : nil)
    }

    /// libdw's text, which stays where it is, as an absolute path without detours.
    private func path(_ text: UnsafePointer<CChar>?) -> String? {
        guard let text else { return nil }
        if let known = paths[text] { return known }
        let path = String(cString: text)
        let isRelative = !path.hasPrefix("/") && !path.hasPrefix("<")
        let full = isRelative && !compilationDirectory.isEmpty ? compilationDirectory + "/" + path : path
        paths[text] = simplifiedPath(full)
        return paths[text]
    }

    private lazy var compilationDirectory: String = {
        var attribute = Dwarf_Attribute()
        guard dwarf_attr(&skeleton, UInt32(DW_AT_comp_dir), &attribute) != nil,
            let text = dwarf_formstring(&attribute)
        else { return "" }
        return String(cString: text)
    }()

    private func number(_ name: Int, of die: inout Dwarf_Die) -> UInt64? {
        var attribute = Dwarf_Attribute()
        var value: Dwarf_Word = 0
        guard dwarf_attr(&die, UInt32(name), &attribute) != nil, dwarf_formudata(&attribute, &value) == 0
        else { return nil }
        return UInt64(value)
    }

    /// The table that call_file counts in. In DWARF 4 a split unit shares the skeleton's.
    private func sourceFiles() -> OpaquePointer? {
        var files: OpaquePointer?
        var count = 0
        if dwarf_getsrcfiles(&root, &files, &count) == 0 { return files }
        return dwarf_getsrcfiles(&skeleton, &files, &count) == 0 ? files : nil
    }
}

/// The last ones are DW_LANG_C17, _C_plus_plus_17 and _C_plus_plus_20, which dwarf.h lacks yet.
private let cLanguages: Set<Int32> = Set(
    [DW_LANG_C, DW_LANG_C89, DW_LANG_C99, DW_LANG_C11, DW_LANG_Mips_Assembler, 0x2c].map { Int32($0) })

private let cPlusPlusLanguages: Set<Int32> = Set(
    [
        DW_LANG_C_plus_plus, DW_LANG_C_plus_plus_03, DW_LANG_C_plus_plus_11, DW_LANG_C_plus_plus_14, 0x2a,
        0x2b,
    ].map { Int32($0) })
