// SPDX-License-Identifier: Apache-2.0

/// One frame of a call stack, after symbolization. Text comes from the target and is untrusted.
///
/// Two frames are the same call site when all fields are equal: function, file, line and module.
public struct Frame: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// A function known by name.
        case function
        /// Only the address is known: `function` is `module+0xoffset` or `0xaddress`.
        case address
        /// Not code: a row such as "(region full)", see `BuiltInFrame`.
        case builtIn
    }

    /// Never empty.
    public var function: String
    public var file: String?
    public var line: Int?
    /// Path of the object; empty for built-in rows and for code made at run time.
    public var module: String
    public var kind: Kind

    public init(
        function: String, file: String? = nil, line: Int? = nil, module: String = "", kind: Kind = .function
    ) {
        self.function = function
        self.file = file
        self.line = line
        self.module = module
        self.kind = kind
    }

    /// Last component of the module's path.
    public var moduleName: String { Self.baseName(module) }

    /// Last component of the source file's path.
    public var fileName: String? { file.map(Self.baseName) }

    /// The part of a path after its last slash; the path itself where that would be empty.
    public static func baseName(_ path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        let tail = path.utf8[path.utf8.index(after: slash)...]
        return tail.isEmpty ? path : String(Substring(tail))
    }

    /// Order that breaks ties: function, file, line, module.
    static func precedes(_ left: Frame, _ right: Frame) -> Bool {
        if left.function != right.function { return left.function < right.function }
        if left.file != right.file { return (left.file ?? "") < (right.file ?? "") }
        if left.line != right.line { return (left.line ?? 0) < (right.line ?? 0) }
        return left.module < right.module
    }
}

/// Rows and frames that stand for no code.
public enum BuiltInFrame {
    /// A table of the region was full: sizes are exact, the site is unknown.
    public static let regionFull = Frame(function: "(region full)", kind: .builtIn)
    /// A signal handler allocated while its thread was inside a hook.
    public static let signalHandler = Frame(function: "(signal handler)", kind: .builtIn)
    /// Blocks that a fork parent had allocated and this process freed: live figures are negative here.
    public static let inherited = Frame(function: "(freed blocks inherited from parent)", kind: .builtIn)
    public static let noStack = Frame(function: "(stack not taken)", kind: .builtIn)
    /// Outermost frame of a stack cut by the depth limit.
    public static let truncated = Frame(function: "(callers cut off by the depth limit)", kind: .builtIn)
    /// Outermost frame of a stack where the unwinder could not go on.
    public static let incomplete = Frame(function: "(callers unknown)", kind: .builtIn)
    /// Of object types: a block that is younger than the counts it is looked up in.
    public static let allocatedMeanwhile = Frame(
        function: "(allocated while memory was being read)", kind: .builtIn)
    /// Of object types: what a fork parent had allocated, and the child still has.
    public static let inheritedAlive = Frame(function: "(inherited from the parent process)", kind: .builtIn)
    public static let runtimeCode = Frame(function: "(code made at run time)", kind: .builtIn)

    /// All of them: what files name so is no code either.
    public static let all = [
        regionFull, signalHandler, inherited, noStack, truncated, incomplete, allocatedMeanwhile,
        inheritedAlive,
        runtimeCode,
    ]
}
