// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// What a diff has a row for. The raw values are those of `--by`.
public enum DiffUnit: String, Sendable, CaseIterable {
    case site
    case stack
    case module
    case `class`
}

/// What makes a row of one build the same as a row of another: names, never addresses or lines.
public struct DiffKey: Sendable, Hashable {
    /// Qualified, without template arguments, parameters and compiler suffixes; of a stack, all functions.
    public var function: String
    /// Base name, as of the module.
    public var file = ""
    public var module = ""

    public init(function: String, file: String = "", module: String = "") {
        self.function = function
        self.file = file
        self.module = module
    }
}

/// Finds the names of frames that stay the same from build to build. One for each profile: it remembers.
public struct DiffNames: Sendable {
    private let table: StackTable
    private let mainModule: String
    private var keys: [FrameID: DiffKey] = [:]

    /// Stands for the program's own file, whatever it is called.
    static let program = "(program)"
    /// Stands for all code of a file that has no names: an address says nothing in another build.
    static let unnamed = "(code without names)"

    public init(_ loaded: LoadedProfile) {
        table = loaded.profile.table
        mainModule = loaded.mainModule?.path ?? ""
    }

    public mutating func key(of id: FrameID) -> DiffKey {
        if let known = keys[id] { return known }
        let frame = table.frame(id)
        let key = DiffKey(
            function: Self.function(frame), file: frame.fileName ?? "", module: module(frame.module))
        keys[id] = key
        return key
    }

    func module(_ path: String) -> String {
        path == mainModule && !path.isEmpty ? Self.program : Self.module(path)
    }

    /// `libfoo.so.1.2.3` is `libfoo.so` in another version.
    static func module(_ path: String) -> String {
        let name = Frame.baseName(path)
        guard let range = name.firstRange(of: ".so.") else { return name }
        return String(name[..<range.lowerBound]) + ".so"
    }

    static func function(_ frame: Frame) -> String {
        guard frame.kind == .function else { return frame.kind == .address ? unnamed : frame.function }
        var name = FunctionName.qualified(frame.function)
        if name.isEmpty { name = frame.function }
        // Rust's names may end in a hash of the whole program.
        let parts = name.split(separator: "::")
        if let last = parts.last, parts.count > 1, last.utf8.count == 17, last.hasPrefix("h"),
            UInt64(last.dropFirst(), radix: 16) != nil
        {
            name = String(name.dropLast(19))
        }
        return name
    }
}
