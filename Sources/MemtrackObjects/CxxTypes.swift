// SPDX-License-Identifier: Apache-2.0
internal import MemtrackSymbols

/// Recognises polymorphic C++ objects by their first word, which points into a vtable.
///
/// In front of the functions of a vtable stands a pointer to the class's `std::type_info`, and that names the
/// class: so hidden and stripped vtables are named as well as exported ones. It is believed only if the type_info
/// is itself an object of one of the three classes of the C++ ABI for that, by their own type_info. Programs built without
/// run-time type information have symbols at best.
struct CxxTypes {
    private let words: WordCache
    private let modules: ModuleMap
    private var verdicts = Verdicts()

    private static let infoClasses: Set<String> = [
        "N10__cxxabiv117__class_type_infoE", "N10__cxxabiv120__si_class_type_infoE",
        "N10__cxxabiv121__vmi_class_type_infoE",
    ]

    init(words: WordCache, modules: ModuleMap) {
        self.words = words
        self.modules = modules
    }

    /// The type's number, 0 for none.
    @inline(__always)
    mutating func type(of first: UInt64, types: inout TypeList) -> UInt32 {
        guard first & 7 == 0 else { return 0 }
        return verdicts.known(first) ?? judge(first, &types)
    }

    private mutating func judge(_ address: UInt64, _ types: inout TypeList) -> UInt32 {
        guard modules.contains(address) else { return 0 }
        let number = Self.name(ofVTable: address, words, modules).map { types.number(.cxx, $0) } ?? 0
        verdicts.add(address, number)
        return number
    }

    private static func name(ofVTable address: UInt64, _ words: WordCache, _ modules: ModuleMap) -> String? {
        // The word before is the way to the object's start: an object begins there. In a type_info, whose neighbours are pointers
        // to others, it is a name.
        if words.word(address &- 16) == 0, let info = words.word(address &- 8), modules.contains(info),
            let infoTable = words.word(info), modules.contains(infoTable),
            let classInfo = words.word(infoTable &- 8), modules.contains(classInfo),
            let className = mangledName(of: classInfo, words), infoClasses.contains(className),
            let mangled = mangledName(of: info, words)
        {
            return readable(mangled)
        }
        return modules.vtable(address)
    }

    private static func mangledName(of info: UInt64, _ words: WordCache) -> String? {
        guard let pointer = words.word(info &+ 8), let text = words.text(pointer, limit: 4096) else {
            return nil
        }
        // GCC marks the names of types that are not shared between modules.
        return text.hasPrefix("*") ? String(text.dropFirst()) : text
    }

    private static func readable(_ mangled: String) -> String {
        let prefix = "typeinfo for "
        let text = demangle("_ZTI" + mangled)
        return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : mangled
    }
}
