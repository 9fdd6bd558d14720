// SPDX-License-Identifier: Apache-2.0

/// What a user can get wrong in this layer.
public enum ProfileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// `option` is the option that the expression was given to, such as `--filter`.
    case invalidExpression(option: String, text: String, reason: String)

    public var description: String {
        switch self {
        case .invalidExpression(let option, let text, let reason):
            "\(option): '\(text)' is not a regular expression: \(reason). "
                + "Put a backslash before special characters such as ( [ * + to mean the character itself."
        }
    }
}
