// SPDX-License-Identifier: Apache-2.0

/// Works on demangled names of C, C++, Rust, D, Swift and Python. The input is untrusted: any text gives a result.
public enum FunctionName {
    /// The qualified name alone, without return type, template arguments, parameters and compiler suffixes:
    /// `void std::vector<int>::push_back(int const&)` gives `std::vector::push_back`,
    /// `<alloc::string::String as core::clone::Clone>::clone` gives `alloc::string::String::clone`.
    public static func qualified(_ name: String) -> String {
        var scanner = NameScanner(Array(name.utf8))
        return String(decoding: scanner.qualified(depth: 0), as: UTF8.self)
    }

    /// The name with the contents of parameter lists replaced by `…`: `run(std::string)` gives `run(…)`.
    /// With `templates`, the arguments of templates too, and the return type goes:
    /// `int Map<int, int>::at(int)` gives `Map<…>::at(…)`.
    public static func abridged(_ name: String, templates: Bool) -> String {
        let bytes = Array(name.utf8)
        let ellipsis = Array("…".utf8)
        var out: [UInt8] = []
        var index = 0
        var hasParameters = false
        while index < bytes.count {
            let byte = bytes[index]
            let opensParameters = byte == UInt8(ascii: "(")
            let opens =
                opensParameters
                || (byte == UInt8(ascii: "<") && templates && !NameScanner.isPython(bytes, index))
            let isOperator = out.ends(with: "operator") || out.ends(with: "operator<")
            if opens, !isOperator, !bytes[index...].starts(with: NameScanner.anonymous) {
                let end = NameScanner.closing(bytes, from: index)
                // No closing bracket: what follows is no name, and looking again would take forever.
                if end >= bytes.count { return String(decoding: out + bytes[index...], as: UTF8.self) }
                hasParameters = hasParameters || opensParameters
                out.append(byte)
                if end > index + 1 { out += ellipsis }
                out.append(bytes[end])
                index = end + 1
                continue
            }
            if bytes[index...].starts(with: NameScanner.anonymous) {
                out += NameScanner.anonymous
                index += NameScanner.anonymous.count
                continue
            }
            if templates, byte == UInt8(ascii: " "), !hasParameters, !out.ends(with: "operator"),
                hasReturnType(bytes, endingAt: index)
            {
                out.removeAll(keepingCapacity: true)
            } else {
                out.append(byte)
            }
            index += 1
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The name without qualifiers beyond the last `parts`: `a::b::c` gives `b::c`. Nil where that is no
    /// shorter, or where the text is no name of C, C++, Rust or D.
    public static func unqualified(_ name: String, parts: Int) -> String? {
        if name.contains(" -> ") || name.contains(" in ") || name.contains(" of ") { return nil }
        let whole = qualified(name)
        let components = whole.split(separator: "::", omittingEmptySubsequences: false)
        if whole.isEmpty || components.count < parts { return nil }
        return components.suffix(parts).joined(separator: "::")
    }

    /// A blank ends a return type when a parameter list follows, and no other blank stands between.
    private static func hasReturnType(_ bytes: [UInt8], endingAt blank: Int) -> Bool {
        var index = blank + 1
        if bytes[index...].starts(with: Array("-> ".utf8)) || bytes[index...].starts(with: Array("in ".utf8))
        {
            return false
        }
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "<"): index = NameScanner.closing(bytes, from: index)
            case UInt8(ascii: "("):
                if !bytes[index...].starts(with: NameScanner.anonymous) { return true }
                index += NameScanner.anonymous.count - 1
            case UInt8(ascii: " ") where !bytes[..<index].suffix(8).elementsEqual("operator".utf8):
                return false
            default: break
            }
            index += 1
        }
        return false
    }
}

/// One pass over the bytes of a demangled name.
struct NameScanner {
    static let anonymous = Array("(anonymous namespace)".utf8)
    private static let suffixes = [".part.", ".constprop.", ".isra.", ".cold", ".llvm.", ".lto_priv.", "@"]
        .map { Array($0.utf8) }
    private static let operatorWord = Array("operator".utf8)

    private let bytes: [UInt8]
    private var index = 0
    private var out: [UInt8] = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The bracket begins a part of a name of Python: `<lambda>`, `main.<locals>.<listcomp>`.
    static func isPython(_ bytes: [UInt8], _ bracket: Int) -> Bool {
        if bracket > 0 { return bytes[bracket - 1] == UInt8(ascii: ".") }
        return bytes.last == UInt8(ascii: ">") && bytes.dropFirst().dropLast().allSatisfy(isIdentifier)
    }

    /// Index of the bracket that closes the one at `start`, or the end of the text.
    static func closing(_ bytes: [UInt8], from start: Int) -> Int {
        var depth = 0
        var index = start
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "<"), UInt8(ascii: "("), UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: ">") where index > 0 && bytes[index - 1] == UInt8(ascii: "-"): break
            case UInt8(ascii: ">"), UInt8(ascii: ")"), UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return index }
            default: break
            }
            index += 1
        }
        return bytes.count
    }

    /// - Parameter depth: of nested Rust types; bounded, because the text is untrusted.
    mutating func qualified(depth: Int) -> [UInt8] {
        if bytes.first == UInt8(ascii: "<"), depth < 8, depth > 0 || !Self.isPython(bytes, 0) {
            takeRustType(depth: depth)
        }
        scan: while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "<") where depth == 0 && Self.isPython(bytes, index):
                let end = min(Self.closing(bytes, from: index) + 1, bytes.count)
                out += bytes[index..<end]
                index = end
            case UInt8(ascii: "<"), UInt8(ascii: "["):
                index = Self.closing(bytes, from: index) + 1
            case UInt8(ascii: "{"):
                let end = min(Self.closing(bytes, from: index) + 1, bytes.count)
                out += bytes[index..<end]
                index = end
            case UInt8(ascii: "("):
                if bytes[index...].starts(with: Self.anonymous) {
                    out += Self.anonymous
                    index += Self.anonymous.count
                } else if !skipParameters() {
                    break scan
                }
            case UInt8(ascii: " "):
                // What stood before is a return type or a word such as "static"; after the name comes
                // " [clone .part.0]", which has been cut off by then.
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "[") { break scan }
                out.removeAll(keepingCapacity: true)
                index += 1
            case UInt8(ascii: "o") where startsOperator():
                takeOperator()
            case UInt8(ascii: "."), UInt8(ascii: "@"):
                if !out.isEmpty, Self.suffixes.contains(where: { bytes[index...].starts(with: $0) }) {
                    break scan
                }
                out.append(bytes[index])
                index += 1
            default:
                out.append(bytes[index])
                index += 1
            }
        }
        return out
    }

    /// Passes over a parameter list; false where the name ends there.
    private mutating func skipParameters() -> Bool {
        var next = Self.closing(bytes, from: index) + 1
        let const = Array(" const".utf8)
        if next < bytes.count, bytes[next...].starts(with: const) { next += const.count }
        guard next < bytes.count, bytes[next...].starts(with: Array("::".utf8)) else { return false }
        index = next
        return true
    }

    private func startsOperator() -> Bool {
        guard bytes[index...].starts(with: Self.operatorWord) else { return false }
        if let last = out.last, Self.isIdentifier(last) { return false }
        let next = index + Self.operatorWord.count
        return next < bytes.count && !Self.isIdentifier(bytes[next])
    }

    private mutating func takeOperator() {
        out += Self.operatorWord
        index += Self.operatorWord.count
        if bytes[index...].starts(with: Array("()".utf8)) {
            out += Array("()".utf8)
            index += 2
        }
        while index < bytes.count, bytes[index] != UInt8(ascii: "(") {
            out.append(bytes[index])
            index += 1
        }
    }

    /// `<Type as Trait>` stands for the type, or for the trait where the type is a bare parameter.
    private mutating func takeRustType(depth: Int) {
        let end = Self.closing(bytes, from: 0)
        var inner = Array(bytes[1..<max(1, min(end, bytes.count))])
        if inner.starts(with: Array("impl ".utf8)) {
            inner.removeFirst(5)
            if let (_, target) = Self.split(inner, at: " for ") { inner = target }
        }
        let (type, trait) = Self.split(inner, at: " as ") ?? (inner, [])
        var scanner = NameScanner(Array(type.drop { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: "*") }))
        var name = scanner.qualified(depth: depth + 1)
        if !trait.isEmpty, !name.contains(UInt8(ascii: ":")) {
            var traitScanner = NameScanner(trait)
            name = traitScanner.qualified(depth: depth + 1)
        }
        out = name
        index = min(end + 1, bytes.count)
    }

    /// Splits at the first separator outside brackets.
    private static func split(_ bytes: [UInt8], at separator: String) -> ([UInt8], [UInt8])? {
        let separator = Array(separator.utf8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "<") || bytes[index] == UInt8(ascii: "(") {
                index = closing(bytes, from: index)
            } else if bytes[index...].starts(with: separator) {
                return (Array(bytes[..<index]), Array(bytes[(index + separator.count)...]))
            }
            index += 1
        }
        return nil
    }

    private static func isIdentifier(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
