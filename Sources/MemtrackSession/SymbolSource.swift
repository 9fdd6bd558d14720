// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProfile
internal import MemtrackSymbols

/// A profile builder with symbols behind it, and the reasons why some files gave none.
public final class SymbolSource {
    public let builder: ProfileBuilder
    private let symbolizer: Symbolizer
    private let files: Files

    private final class Files { var seen: Set<CodeFile> = [] }

    public init(wrappers: WrapperMatcher) {
        let symbolizer = Symbolizer()
        let files = Files()
        self.symbolizer = symbolizer
        self.files = files
        builder = ProfileBuilder(wrappers: wrappers) { file, address in
            files.seen.insert(file)
            return symbolizer.frames(in: file, address: address)
        }
    }

    /// One line for each file without symbols.
    public var notes: [String] {
        files.seen.compactMap { symbolizer.note(for: $0) }.sorted()
    }
}

/// Shows how far symbolizing has got, on a terminal, once it has taken a second.
public final class ProgressLine {
    private let isShown: Bool
    private var started: UInt64 = 0
    private var last: UInt64 = 0

    public init(isTerminal: Bool) { isShown = isTerminal }

    public func update(_ done: Int, _ total: Int) {
        guard isShown, done & 63 == 0 || done == total else { return }
        let now = Clocks.monotonicNanoseconds
        if done == 0 || started == 0 { started = now }
        guard now - started > 1_000_000_000 else { return }
        if done == total {
            if last != 0 { put("\r\u{1b}[K") }
            last = 0
        } else if now - last > 100_000_000 {
            put("\rmemtrack: finding names, \(done * 100 / max(total, 1)) % of \(total) addresses\u{1b}[K")
            last = now
        }
    }

    private func put(_ text: String) {
        _ = text.utf8.withContiguousStorageIfAvailable { write(2, $0.baseAddress, $0.count) }
    }
}
