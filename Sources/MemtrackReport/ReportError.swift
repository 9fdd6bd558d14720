// SPDX-License-Identifier: Apache-2.0

/// What can go wrong in rendering.
public enum ReportError: Error, Sendable, Equatable, CustomStringConvertible {
    case encoding(reason: String)
    /// A profile, by what the user calls it, was made without object types.
    case noTypes(String)

    public var description: String {
        switch self {
        case .encoding(let reason):
            "The report could not be written as JSON: \(reason). The text report has the same figures; "
                + "please report this as a bug."
        case .noTypes(let name):
            "\(name) has no object types; run the program with memtrack-preload --objects (a process that runs: "
                + "memtrack report --pid N --objects --output FILE)"
        }
    }
}
