// SPDX-License-Identifier: Apache-2.0

/// Recognises Swift objects by their first word, which points to metadata.
///
/// Metadata begins with its kind. For a class there follow the superclass, sizes, and at +40 the nominal type descriptor,
/// which names the class; metadata of generic classes are made at run time and may lie anywhere. The layout is
/// part of Swift's stable ABI (docs/ABI/TypeMetadata.rst), here that of platforms without Objective-C.
struct SwiftTypes {
    private let words: WordCache
    private let modules: ModuleMap
    private var verdicts = Verdicts()

    init?(words: WordCache, modules: ModuleMap) {
        guard modules.hasSwift else { return nil }
        self.words = words
        self.modules = modules
    }

    /// The type's number, 0 for none.
    ///
    /// - Parameter index: metadata never begins where a block does.
    @inline(__always)
    mutating func type(of first: UInt64, types: inout TypeList, index: BlockIndex) -> UInt32 {
        guard first & 7 == 0, first >= 1 << 16, first < 1 << 47 else { return 0 }
        return verdicts.known(first) ?? judge(first, &types, index)
    }

    private mutating func judge(_ metadata: UInt64, _ types: inout TypeList, _ index: BlockIndex) -> UInt32 {
        guard modules.contains(metadata) || !index.isStart(metadata) else { return 0 }
        let name = SwiftNames(words: words, modules: modules).objectName(metadata: metadata)
        let number = name.map { types.number(.swift, $0) } ?? 0
        verdicts.add(metadata, number)
        return number
    }
}

/// Names of Swift types, read from their metadata in the target. Every value may be hostile.
struct SwiftNames {
    let words: WordCache
    let modules: ModuleMap

    private static let depthLimit = 6
    private static let lengthLimit = 400

    private enum Kind {
        static let structure: UInt64 = 0x200
        static let enumeration: UInt64 = 0x201
        static let optional: UInt64 = 0x202
        static let foreignClass: UInt64 = 0x203
        static let tuple: UInt64 = 0x301
        static let function: UInt64 = 0x302
        static let existential: UInt64 = 0x303
        static let metatype: UInt64 = 0x304
        static let existentialMetatype: UInt64 = 0x306
    }

    /// The name of what metadata describe, if objects on the heap begin with a pointer to such.
    func objectName(metadata: UInt64) -> String? {
        switch words.word(metadata) {
        case 0: className(metadata, depth: 0)
        // Of the runtime's own kinds only those in a module's data are believed: a number is no proof.
        // What a closure captures, or the value of an indirect case of an enumeration.
        case 0x400 where modules.contains(metadata): "(closure context or box)"
        case 0x500: boxName(metadata)
        case 0x501 where modules.contains(metadata): "(error box)"
        case 0x502 where modules.contains(metadata): "(task)"
        default: nil
        }
    }

    /// Metadata of a box for a value whose type is not known before run time (of a generic, or of another module's) are
    /// made then: the offset of the value in it, and the metadata of the value.
    private func boxName(_ metadata: UInt64) -> String? {
        if let offset = words.half(metadata &+ 8), (16...4096).contains(offset),
            let boxed = words.word(metadata &+ 16)
        {
            let name = typeName(boxed, depth: 0)
            if name != "…" { return "(box of \(name))" }
        }
        return modules.contains(metadata) ? "(box)" : nil
    }

    private func className(_ metadata: UInt64, depth: Int) -> String? {
        // Sizes that cannot be are a sign that this is something else.
        guard let size = words.half(metadata &+ 24), size >= 16, size < 1 << 28,
            let alignment = words.short(metadata &+ 28), alignment < 4096, alignment & (alignment &+ 1) == 0,
            let descriptor = words.word(metadata &+ 40), modules.contains(descriptor),
            let flags = words.half(descriptor), flags & 0x1f == 16
        else { return nil }
        guard let name = contextName(descriptor, depth: 0) else { return nil }
        guard flags & 0x80 != 0 else { return name }
        // Arguments follow what the class inherits; where its superclass is resilient that is known at run time alone.
        let hasResilientSuperclass = flags >> 16 & (1 << 13) != 0
        let areNegative = flags >> 16 & (1 << 12) != 0
        guard !hasResilientSuperclass, !areNegative, let positive = words.half(descriptor &+ 28),
            let immediate = words.half(descriptor &+ 32), positive >= immediate, positive < 1 << 16
        else { return name + "<…>" }
        return name
            + arguments(
                at: metadata &+ UInt64(positive - immediate) * 8, header: descriptor &+ 44, depth: depth)
    }

    private func valueName(_ metadata: UInt64, depth: Int) -> String? {
        guard let descriptor = words.word(metadata &+ 8), modules.contains(descriptor),
            let flags = words.half(descriptor), let name = contextName(descriptor, depth: 0)
        else { return nil }
        guard flags & 0x80 != 0 else { return name }
        return name + arguments(at: metadata &+ 16, header: descriptor &+ 28, depth: depth)
    }

    /// `<A, B>`, as the generic header of a descriptor counts them.
    private func arguments(at start: UInt64, header: UInt64, depth: Int) -> String {
        guard depth < Self.depthLimit, let count = words.short(header &+ 8), (1...16).contains(count) else {
            return "<…>"
        }
        var texts: [String] = []
        // What each parameter is stands behind the header, a byte each: a value is in the place of its metadata.
        let isPlain = (words.short(header &+ 14) ?? 0) & 1 == 0
        for place in 0..<UInt64(count) {
            let word = words.word(start &+ place * 8) ?? 0
            let isValue = isPlain && (words.short(header &+ 16 &+ place) ?? 0) & 0x3f == 2
            texts.append(isValue ? "\(Int64(bitPattern: word))" : typeName(word, depth: depth + 1))
        }
        let text = "<" + texts.joined(separator: ", ") + ">"
        return text.utf8.count <= Self.lengthLimit ? text : "<…>"
    }

    private func typeName(_ metadata: UInt64, depth: Int) -> String {
        guard depth < Self.depthLimit, let kind = words.word(metadata) else { return "…" }
        switch kind {
        case 0: return className(metadata, depth: depth) ?? "…"
        case Kind.structure, Kind.enumeration, Kind.optional: return valueName(metadata, depth: depth) ?? "…"
        case Kind.tuple: return tupleName(metadata, depth: depth)
        case Kind.function: return "(function)"
        case Kind.existential: return existentialName(metadata)
        case Kind.existentialMetatype:
            return typeName(words.word(metadata &+ 8) ?? 0, depth: depth + 1) + ".Type"
        case Kind.metatype:
            let name = typeName(words.word(metadata &+ 8) ?? 0, depth: depth + 1)
            return (name.hasPrefix("any ") || name == "Any" ? "(\(name))" : name) + ".Type"
        default: return "…"
        }
    }

    private func tupleName(_ metadata: UInt64, depth: Int) -> String {
        guard let count = words.word(metadata &+ 8), count <= 8 else { return "(…)" }
        let names = (0..<count).map { typeName(words.word(metadata &+ 24 &+ $0 * 16) ?? 0, depth: depth + 1) }
        return "(" + names.joined(separator: ", ") + ")"
    }

    /// Flags, the number of protocols, then (for `any Error` and the like) a superclass, then the protocols.
    private func existentialName(_ metadata: UInt64) -> String {
        guard let flags = words.half(metadata &+ 8), let count = words.half(metadata &+ 12), count <= 8 else {
            return "any …"
        }
        if count == 0 { return flags & 0x8000_0000 != 0 ? "Any" : "AnyObject" }
        let hasSuperclass = flags & 0x4000_0000 != 0
        let first = metadata &+ 16 &+ (hasSuperclass ? 8 : 0)
        let names = (0..<UInt64(count)).map { place -> String in
            guard let reference = words.word(first &+ place * 8) else { return "…" }
            return contextName(reference & ~1, depth: 0) ?? "…"
        }
        return "any " + names.joined(separator: " & ")
    }

    /// `Module.Outer.Inner`: the names of a context descriptor and of those around it.
    private func contextName(_ descriptor: UInt64, depth: Int) -> String? {
        guard depth < 12, let flags = words.half(descriptor) else { return nil }
        let parent = words.relative(descriptor &+ 4, canBeIndirect: true)
        switch flags & 0x1f {
        case 0, 3, 16...31:
            guard let place = words.relative(descriptor &+ 8), let name = words.text(place) else {
                return nil
            }
            guard let parent, let outer = contextName(parent, depth: depth + 1), !outer.isEmpty else {
                return name
            }
            return outer + "." + name
        // Extensions and anonymous contexts (private types) have no name of their own.
        case 1, 2: return parent.flatMap { contextName($0, depth: depth + 1) } ?? ""
        default: return nil
        }
    }
}
