// SPDX-License-Identifier: Apache-2.0

/// What can go wrong in rendering.
public enum ReportError: Error, Sendable, Equatable, CustomStringConvertible {
    case encoding(reason: String)

    public var description: String {
        switch self {
        case .encoding(let reason):
            "The report could not be written as JSON: \(reason). The text report has the same figures; "
                + "please report this as a bug."
        }
    }
}
