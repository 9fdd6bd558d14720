// SPDX-License-Identifier: Apache-2.0

internal import CElfutils

private let unnamedType = "{unnamed type}"

/// Names of functions as debug information tells them, demangled or qualified, each worked out once.
final class DieNames {
    /// By the place in memory of the entry that declares the function: it stays while its Dwarf is open.
    private var known: [UnsafeMutableRawPointer: String?] = [:]

    private struct Child {
        var offset: Dwarf_Off
        var die: Dwarf_Die
    }

    /// By the place in memory of the parent.
    private var knownChildren: [UnsafeMutableRawPointer: [Child]] = [:]
    private var knownChildrenCount = 0
    /// 40 bytes each: 40 MB. Then all are forgotten.
    private static let childrenLimit = 1 << 20

    /// The best name of a function: its demangled linkage name, else its own name inside its scopes.
    func name(of die: Dwarf_Die) -> String? {
        let declaration = declaration(of: die)
        guard let key = declaration.addr else { return nil }
        if let name = known[key] { return name }
        let name = linkageName(of: die) ?? qualifiedName(of: declaration) ?? plainName(of: die)
        known[key] = .some(name)
        return name
    }

    /// The demangled linkage name.
    func linkageName(of die: Dwarf_Die) -> String? {
        (string(DW_AT_linkage_name, of: die) ?? string(DW_AT_MIPS_linkage_name, of: die)).map(demangle)
    }

    /// The name as it stands in the source, without scopes.
    func plainName(of die: Dwarf_Die) -> String? { string(DW_AT_name, of: die) }

    private func string(_ name: Int, of die: Dwarf_Die) -> String? {
        var die = die
        var attribute = Dwarf_Attribute()
        // Follows DW_AT_abstract_origin and DW_AT_specification, a limited number of times.
        guard dwarf_attr_integrate(&die, UInt32(name), &attribute) != nil,
            let text = dwarf_formstring(&attribute)
        else { return nil }
        return String(cString: text)
    }

    /// An inlined or out-of-line copy points to what it is a copy of, and that to where it was declared.
    private func declaration(of die: Dwarf_Die) -> Dwarf_Die {
        var current = die
        for _ in 0..<16 {
            var attribute = Dwarf_Attribute()
            var target = Dwarf_Die()
            guard
                dwarf_attr(&current, UInt32(DW_AT_abstract_origin), &attribute) != nil
                    || dwarf_attr(&current, UInt32(DW_AT_specification), &attribute) != nil,
                dwarf_formref_die(&attribute, &target) != nil
            else { break }
            current = target
        }
        return current
    }

    private func qualifiedName(of declaration: Dwarf_Die) -> String? {
        guard let own = plainName(of: declaration) else { return nil }
        var scopes = parents(of: declaration).compactMap(scopeName)
        // g++ does not name the types of lambdas.
        if own == "operator()", scopes.last == unnamedType { scopes[scopes.count - 1] = "{lambda}" }
        return (scopes + [own]).joined(separator: "::")
    }

    /// The part that a scope adds to the names inside it, nil if none.
    private func scopeName(_ die: Dwarf_Die) -> String? {
        var die = die
        switch Int(dwarf_tag(&die)) {
        case DW_TAG_namespace:
            var attribute = Dwarf_Attribute()
            // Inline namespaces such as std::__1 or std::__cxx11 stay: the demanglers print them too.
            return dwarf_attr(&die, UInt32(DW_AT_name), &attribute) != nil
                ? plainName(of: die) : "(anonymous namespace)"
        case DW_TAG_structure_type, DW_TAG_class_type, DW_TAG_union_type, DW_TAG_enumeration_type,
            DW_TAG_interface_type, DW_TAG_module:
            return plainName(of: die) ?? unnamedType
        case DW_TAG_subprogram:
            return name(of: die).map { $0.hasSuffix(")") ? $0 : $0 + "()" }
        default:
            return nil
        }
    }

    /// The entries around one, outermost first.
    ///
    /// Entries do not point to their parents. But a subtree is one stretch of the file, so the parent on
    /// each level is the last sibling that begins before the target.
    private func parents(of die: Dwarf_Die) -> [Dwarf_Die] {
        var target = die
        let offset = dwarf_dieoffset(&target)
        var parents: [Dwarf_Die] = []
        var current = Dwarf_Die()
        guard dwarf_diecu(&target, &current, nil, nil) != nil else { return [] }
        while parents.count < 64 {
            let siblings = children(of: current)
            var low = 0
            var high = siblings.count
            while low < high {
                let middle = (low + high) / 2
                if siblings[middle].offset <= offset { low = middle + 1 } else { high = middle }
            }
            guard low > 0, siblings[low - 1].offset < offset else { return parents }
            current = siblings[low - 1].die
            parents.append(current)
        }
        return parents
    }

    /// The entries directly below one, in the order of the file. Kept, because a namespace of a C++ unit has
    /// thousands and is asked for by each name inside it: half of all the time spent on names went there.
    private func children(of die: Dwarf_Die) -> [Child] {
        guard let key = die.addr else { return [] }
        if let known = knownChildren[key] { return known }
        var parent = die
        var children: [Child] = []
        var child = Dwarf_Die()
        var isThere = dwarf_child(&parent, &child) == 0
        while isThere {
            let offset = dwarf_dieoffset(&child)
            // A file that is damaged may link siblings backwards.
            if let last = children.last, offset <= last.offset { break }
            children.append(Child(offset: offset, die: child))
            var next = Dwarf_Die()
            isThere = dwarf_siblingof(&child, &next) == 0
            child = next
        }
        knownChildrenCount += children.count
        if knownChildrenCount > Self.childrenLimit {
            knownChildren = [:]
            knownChildrenCount = children.count
        }
        knownChildren[key] = children
        return children
    }
}
