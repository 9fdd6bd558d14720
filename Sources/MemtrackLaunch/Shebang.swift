// SPDX-License-Identifier: Apache-2.0

/// The first line of a script, as the kernel reads it: execve(2), "Interpreter scripts".
struct Shebang: Hashable {
    /// The kernel looks at this many bytes of a file.
    static let window: UInt64 = 256

    var interpreter: RawString
    /// All that follows, blanks included, as one argument; nil where there is nothing.
    var argument: RawString?

    /// nil where the kernel would not take it for a script: no `#!`, no name, or a name that does not end within
    /// the window.
    init?(_ start: [UInt8]) {
        guard start.starts(with: "#!".utf8) else { return nil }
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        let newline = start.firstIndex(of: 0x0a)
        let line = start[2..<(newline ?? start.endIndex)].drop(while: isBlank)
        let name = line.prefix { !isBlank($0) && $0 != 0 }
        guard !name.isEmpty,
            newline != nil || name.endIndex < line.endIndex || start.count < Self.window
        else { return nil }
        interpreter = RawString(name)
        let rest = line[name.endIndex...].drop(while: isBlank)
        if let last = rest.lastIndex(where: { !isBlank($0) }) { argument = RawString(rest[...last]) }
    }
}

/// What `#!/usr/bin/env …` starts. Source: env(1) of GNU coreutils.
struct EnvCommand: Hashable {
    var program: RawString
    /// `-i`: what it starts gets no environment.
    var clearsEnvironment = false

    /// nil where env would start nothing.
    init?(_ argument: RawString) {
        // Without -S the kernel's single argument stays one, blanks included.
        var words = [Array(argument.bytes)]
        var clears = false
        while let word = words.first {
            words.removeFirst()
            if word.elementsEqual("--".utf8) { break }
            if word.elementsEqual("-".utf8) || word.elementsEqual("--ignore-environment".utf8) {
                clears = true
            } else if word.starts(with: "--split-string=".utf8) {
                words = Self.split(word[15...]) + words
            } else if word.starts(with: "--".utf8) {
                if Self.takesArgument.contains(word) { _ = words.popFirst() }
            } else if word.first == UInt8(ascii: "-") {
                letters: for index in word.indices.dropFirst() {
                    switch word[index] {
                    case UInt8(ascii: "i"): clears = true
                    case UInt8(ascii: "S"):
                        // The rest of the word, or else the next one.
                        let attached = word[(index + 1)...]
                        let text = attached.isEmpty ? (words.popFirst() ?? [])[...] : attached
                        words = Self.split(text) + words
                        break letters
                    case UInt8(ascii: "u"), UInt8(ascii: "C"):
                        if index == word.indices.last { _ = words.popFirst() }
                        break letters
                    default: break
                    }
                }
            } else if word.contains(UInt8(ascii: "=")) {
                continue
            } else {
                words.insert(word, at: 0)
                break
            }
        }
        // After "--" there may still be assignments.
        guard let name = words.first(where: { !$0.contains(UInt8(ascii: "=")) }) else { return nil }
        program = RawString(name)
        clearsEnvironment = clears
    }

    private static let takesArgument = ["--unset", "--chdir"].map { Array($0.utf8) }

    /// Words at blanks, with quotes and backslashes taken off.
    private static func split(_ text: ArraySlice<UInt8>) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8]?
        var quote: UInt8?
        var isEscaped = false
        for byte in text {
            if isEscaped {
                word = (word ?? []) + [byte]
                isEscaped = false
            } else if byte == UInt8(ascii: "\\"), quote != UInt8(ascii: "'") {
                isEscaped = true
            } else if byte == quote {
                quote = nil
            } else if quote == nil, byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
                word = word ?? []
            } else if quote == nil, byte == 0x20 || byte == 0x09 {
                if let done = word { words.append(done) }
                word = nil
            } else {
                word = (word ?? []) + [byte]
            }
        }
        if let word { words.append(word) }
        return words
    }
}

extension Array {
    fileprivate mutating func popFirst() -> Element? { isEmpty ? nil : removeFirst() }
}
