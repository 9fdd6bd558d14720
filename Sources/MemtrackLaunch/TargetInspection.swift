// SPDX-License-Identifier: Apache-2.0

/// What the last file of the chain is: the one whose code runs.
public enum TargetKind: Sendable, Hashable {
    case dynamicProgram
    case staticProgram
    case staticPIE
    /// The dynamic loader itself, given the program as its argument.
    case dynamicLoader
    /// ELF, but for another machine or word size.
    case foreignProgram
    /// May be executed but not read, so nothing is known of it.
    case unreadable
    /// An ELF file whose headers are damaged.
    case damaged
}

/// What is known of a program before it is started.
public struct TargetInspection: Sendable, Hashable {
    /// What to start; for a name without a slash, where it was found.
    public var path: RawString
    public var kind: TargetKind
    /// Whether preloading does what it should: false where the library would be ignored, or do harm.
    public var canPreload: Bool
    public var warnings: [TargetWarning]
    /// `path`, the interpreter of that script, its interpreter, … up to the program that runs.
    public var chain: [RawString]
}

/// Why objects will be missing, in part or altogether. `description` is one line: what, why, what to do.
public enum TargetWarning: Sendable, Hashable {
    case staticallyLinked(path: RawString)
    case goProgram(path: RawString, isStatic: Bool)
    case setUserID(path: RawString)
    case setGroupID(path: RawString)
    case fileCapabilities(path: RawString)
    case musl(path: RawString, interpreter: RawString)
    case otherWordSize(path: RawString)
    case otherMachine(path: RawString, machine: UInt16)
    case sanitizer(path: RawString, name: String)
    case ownAllocator(path: RawString, functions: [String])
    case environmentCleared(path: RawString)
    case emptyFile(path: RawString)
    case unreadable(path: RawString)
    case damaged(path: RawString)

    /// The library would be ignored (perhaps with a message among the target's output), or do harm.
    public var preventsPreload: Bool {
        switch self {
        case .ownAllocator, .emptyFile, .unreadable, .goProgram(_, isStatic: false): false
        default: true
        }
    }
}

extension TargetWarning: CustomStringConvertible {
    public var description: String {
        let without = "; it runs without object figures"
        return switch self {
        case .staticallyLinked(let path):
            "\(path): is statically linked, so no library can be preloaded\(without);"
                + " link it dynamically to see its objects"
        case .goProgram(let path, isStatic: true):
            "\(path): is a Go program, whose heap does not go through malloc\(without); use Go's pprof"
        case .goProgram(let path, isStatic: false):
            "\(path): is a Go program, whose own heap does not go through malloc; only memory allocated by C"
                + " code can be seen; use Go's pprof for the rest"
        case .setUserID(let path):
            "\(path): is set-user-ID, so the loader ignores preloaded libraries\(without);"
                + " run it as its owner, or a copy without the bit"
        case .setGroupID(let path):
            "\(path): is set-group-ID, so the loader ignores preloaded libraries\(without);"
                + " run it in its group, or a copy without the bit"
        case .fileCapabilities(let path):
            "\(path): has file capabilities, so the loader ignores preloaded libraries\(without);"
                + " run it as root, or a copy without them"
        case .musl(let path, let interpreter):
            "\(path): is built for musl (\(interpreter)), and the preload library for glibc\(without);"
                + " use a build for glibc"
        case .otherWordSize(let path):
            "\(path): is a 32-bit program, and the preload library has 64 bits\(without); use a 64-bit build"
        case .otherMachine(let path, let machine):
            "\(path): is for another processor (ELF machine \(machine)), the preload library for this"
                + " one\(without); use a native build"
        case .sanitizer(let path, let name):
            "\(path): is built with \(name), which replaces malloc itself\(without);"
                + " use a build without it"
        case .ownAllocator(let path, let functions):
            "\(path): contains an allocator of its own (\(functions.joined(separator: ", "))); memory that it"
                + " gives out cannot be seen; link the allocator dynamically or leave it out"
        case .environmentCleared(let path):
            "\(path): its first line starts env with an empty environment, which takes LD_PRELOAD"
                + " away\(without); remove -i"
        case .emptyFile(let path):
            "\(path): is empty, so /bin/sh runs it and does nothing; check the path"
        case .unreadable(let path):
            "\(path): cannot be read, only executed, so it is not known whether objects can be seen;"
                + " make it readable to find out"
        case .damaged(let path):
            "\(path): its ELF headers are damaged or cut off, so it will hardly run; build or copy it anew"
        }
    }
}
