// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackReport

/// Where reports go, and how wide and colourful they may be there.
public struct Screen {
    private let file: OutputFile
    private let descriptor: Int32?
    private let environment: [String: String]

    /// Reports on standard error, so that the target's output stays what it is.
    public static func standardError(environment: [String: String]) -> Screen {
        Screen(
            file: OutputFile(descriptor: 2, name: "standard error"), descriptor: 2, environment: environment)
    }

    public static func standardOutput(environment: [String: String]) -> Screen {
        Screen(
            file: OutputFile(descriptor: 1, name: "standard output"), descriptor: 1, environment: environment)
    }

    /// Reports in a file: no colour, 120 columns.
    public static func file(_ path: String) throws(SessionError) -> Screen {
        Screen(file: try OutputFile(path: path), descriptor: nil, environment: [:])
    }

    var isFile: Bool { descriptor == nil }
    public var isTerminal: Bool { descriptor.map { isatty($0) == 1 } ?? false }

    /// As the terminal is now; `COLUMNS` counts where there is none. `NO_COLOR` (no-color.org) and
    /// `TERM=dumb` switch colour off.
    public var layout: Layout {
        let noColor = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        let colour = isTerminal && !noColor && environment["TERM"] != "dumb"
        return Layout(width: width, usesColor: colour)
    }

    private var width: Int {
        var size = winsize()
        if let descriptor, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
            return Int(size.ws_col)
        }
        if let columns = environment["COLUMNS"].flatMap({ Int($0) }), (20...1000).contains(columns) {
            return columns
        }
        return 120
    }

    public func write(_ text: String) throws(SessionError) { try file.write(text) }
    public func write(_ bytes: [UInt8]) throws(SessionError) { try file.write(bytes) }
}

/// Environment variables of this process that decide how a screen looks.
public enum Variables {
    public static var current: [String: String] {
        var result: [String: String] = [:]
        for name in ["NO_COLOR", "TERM", "COLUMNS"] {
            if let value = getenv(name) { result[name] = String(cString: value) }
        }
        return result
    }
}
