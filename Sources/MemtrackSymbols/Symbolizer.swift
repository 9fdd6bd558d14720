// SPDX-License-Identifier: Apache-2.0

/// Turns addresses in code files into functions, files and lines.
///
/// Files are opened when first asked about and stay open for the symbolizer's life; a unit of debug
/// information is read when first an address inside it is asked for, and each answer is kept. So the
/// first answers of a file cost milliseconds and the others microseconds.
///
/// Use on one thread at a time: libdw has no locks.
public final class Symbolizer {
    private let options: SymbolizerOptions
    private let budget = DebuginfodBudget()
    private var entries: [CodeFile: Entry] = [:]

    private final class Entry {
        var object: ObjectFile?
        var failure: SymbolError?
        var frames: [UInt64: [SourceFrame]] = [:]
    }

    public init(options: SymbolizerOptions = .init()) {
        self.options = options
    }

    /// What stands at an address of a file: innermost frame first, each but the last inlined into the next.
    ///
    /// `address` is an address in the file, that is the run-time address minus the module's bias. For a
    /// return address the caller passes one less, the last byte of the call. Empty where nothing is
    /// known; `note(for:)` may say why.
    public func frames(in file: CodeFile, address: UInt64) -> [SourceFrame] {
        let entry = entry(for: file)
        if let known = entry.frames[address] { return known }
        let frames = entry.object?.frames(at: address) ?? []
        entry.frames[address] = frames
        return frames
    }

    /// Why a file gives no symbols, or only those it exports; nil when there is nothing to say.
    ///
    /// The text holds the file's path, which is the target's: escape it before printing.
    public func note(for file: CodeFile) -> String? {
        let entry = entry(for: file)
        return (entry.failure ?? entry.object?.shortcoming)?.description
    }

    /// What a file says of the data that objects point to; nil where it cannot be read.
    public func facts(of file: CodeFile) -> ObjectFacts? { entry(for: file).object?.facts }

    private func entry(for file: CodeFile) -> Entry {
        if let known = entries[file] { return known }
        let entry = Entry()
        entries[file] = entry
        guard !isMadeByKernel(file.path) else { return entry }
        do throws(SymbolError) {
            entry.object = try ObjectFile(file, options: options, budget: budget)
        } catch {
            entry.failure = error
        }
        return entry
    }
}

/// The vdso and the bracketed mappings of /proc/PID/maps have no file.
private func isMadeByKernel(_ path: String) -> Bool {
    path.hasPrefix("linux-vdso.so") || path.hasPrefix("linux-gate.so")
        || (path.hasPrefix("[") && path.hasSuffix("]"))
}
