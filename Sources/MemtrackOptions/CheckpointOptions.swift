// SPDX-License-Identifier: Apache-2.0
public import ArgumentParser
public import MemtrackProfile
internal import MemtrackReport
public import MemtrackSession

/// How often a monitor looks, and what its tables show.
public struct CheckpointOptions: ParsableArguments {
    @Option(
        name: [.customShort("i", allowingJoined: true), .long], parsing: .unconditional,
        help: .init("Seconds between checkpoints; 0 for none. Fractions are allowed.", valueName: "seconds"))
    var interval: String = "30"

    @Option(
        name: [.customShort("l", allowingJoined: true), .long], parsing: .unconditional,
        help: .init("Rows of each table.", valueName: "n"))
    var objectLimit: Int = 10

    @Flag(
        name: .shortAndLong,
        help: .init(
            "Show what the live memory is, too: objects of Python, C++ and Swift by type, at each checkpoint; Python's by "
                + "Python function and line."))
    public var objects = false

    @Option(
        help: .init(
            "Show only object types whose name matches, in JSON too; the saved profile has all. Implies --objects.",
            valueName: "regex"))
    public var type: String?

    @Option(help: .init("Order of the sites: live, count, allocated, growth or peak.", valueName: "order"))
    var sort: String = "live"

    @Option(help: .init("Show only sites whose function, file or module matches.", valueName: "regex"))
    var filter: String?

    @Option(
        help: .init(
            "Take functions that match for allocation wrappers too; the site is their caller.",
            valueName: "regex"))
    var allocFn: [String] = []

    public init() {}

    /// Whether types are wanted.
    public var wantsTypes: Bool { objects || type != nil }

    public func apply(to options: inout Monitor.Options) throws {
        guard let seconds = Double(interval), seconds >= 0, seconds <= 1e9, seconds == 0 || seconds >= 0.01
        else {
            throw ValidationError(
                "'\(interval)' is no interval; give seconds, such as 5 or 0.5 (at least 0.01), or 0 for none")
        }
        options.interval = seconds
        guard objectLimit >= 0 else {
            throw ValidationError("--object-limit \(objectLimit) is no number of rows; give 0 or more")
        }
        options.rows = min(objectLimit, 100_000)
        guard let order = SiteOrder(rawValue: sort) else {
            let known = SiteOrder.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("'\(sort)' is no order; give one of: \(known)")
        }
        options.order = order
        do {
            options.filter = try filter.map { try SiteFilter($0) }
            if wantsTypes {
                options.types = TypeTableText.Options(
                    limit: options.rows, order: order, filter: try type.map { try TypeFilter($0) },
                    sites: type == nil ? 2 : 5)
            }
        } catch {
            throw ValidationError("\(error)")
        }
    }

    public func wrappers() throws -> WrapperMatcher {
        do {
            return WrapperMatcher(
                userPatterns: try allocFn.map { try TextPattern($0, option: "--alloc-fn") })
        } catch {
            throw ValidationError("\(error)")
        }
    }
}
