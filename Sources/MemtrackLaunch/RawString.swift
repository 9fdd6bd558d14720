// SPDX-License-Identifier: Apache-2.0

import CMemtrackSpawn
import Glibc

/// A path, an argument or an environment entry: bytes without NUL, not necessarily UTF-8. A Swift `String`
/// would repair what is not UTF-8 and so start another program than the one asked for.
public struct RawString: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// Up to the first NUL, which is where the kernel would stop reading.
    public let bytes: [UInt8]

    public init(_ bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes.prefix { $0 != 0 })
    }

    public init(_ text: String) { self.init(text.utf8) }

    public init(stringLiteral text: String) { self.init(text.utf8) }

    init(cString: UnsafePointer<CChar>) {
        self.init(UnsafeBufferPointer(start: cString, count: strlen(cString)).map(UInt8.init(bitPattern:)))
    }

    /// For messages: repaired where it is not UTF-8. Untrusted text.
    public var description: String { String(decoding: bytes, as: UTF8.self) }

    public var isEmpty: Bool { bytes.isEmpty }

    static func + (left: RawString, right: RawString) -> RawString { RawString(left.bytes + right.bytes) }

    func contains(_ character: Unicode.Scalar) -> Bool { bytes.contains(UInt8(ascii: character)) }

    func hasPrefix(_ prefix: String) -> Bool { bytes.starts(with: prefix.utf8) }

    /// What follows the last slash.
    var lastComponent: RawString { RawString(bytes.split(separator: UInt8(ascii: "/")).last ?? []) }

    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (bytes + [0]).withUnsafeBytes { space in
            // The array has at least its NUL, so it has an address.
            space.withMemoryRebound(to: CChar.self) { body($0.baseAddress.unsafelyUnwrapped) }
        }
    }
}

/// The arguments of this very process, byte for byte (`CommandLine.arguments` repairs them, and has none where
/// /proc is not mounted).
public func rawArguments() -> [RawString] {
    var count: Int32 = 0
    guard let arguments = memtrack_spawn_arguments(&count) else { return [] }
    return (0..<Int(count)).compactMap { arguments[$0].map { RawString(cString: $0) } }
}

/// The path that this very process was started by, for where /proc/self/exe is not to be had.
public func startedPath() -> String? { memtrack_spawn_executable().map { String(cString: $0) } }

/// The environment of a process: its entries in their order, byte for byte, also those of odd form.
public struct Environment: Sendable, Hashable {
    public private(set) var entries: [RawString]

    public init(entries: [RawString]) { self.entries = entries }

    /// A copy of this process's own.
    public static func current() -> Environment {
        var entries: [RawString] = []
        var next = memtrack_spawn_environment()
        while let place = next, let entry = place.pointee {
            entries.append(RawString(cString: entry))
            next = place.advanced(by: 1)
        }
        return Environment(entries: entries)
    }

    /// Value of a variable; where it is there more than once the first, as in getenv(3). Setting replaces
    /// the first in its place and removes the others; nil removes all.
    public subscript(name: String) -> RawString? {
        get {
            entries.first { Self.names($0, name) }.map { RawString($0.bytes.dropFirst(name.utf8.count + 1)) }
        }
        set {
            let place = entries.firstIndex { Self.names($0, name) }
            entries.removeAll { Self.names($0, name) }
            guard let newValue else { return }
            entries.insert(RawString(name + "=") + newValue, at: place ?? entries.count)
        }
    }

    private static func names(_ entry: RawString, _ name: String) -> Bool {
        entry.bytes.starts(with: (name + "=").utf8)
    }
}
