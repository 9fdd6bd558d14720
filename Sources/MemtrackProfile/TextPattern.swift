// SPDX-License-Identifier: Apache-2.0

/// A regular expression given by the user; it matches anywhere in a text.
public struct TextPattern: Sendable {
    public let text: String
    // Regex is not Sendable because a literal may hold closures; one made from text holds none, and its
    // lazily compiled program is published atomically by the standard library.
    private nonisolated(unsafe) let regex: Regex<AnyRegexOutput>

    /// - Parameter option: the command-line option that the text came from, for the error.
    public init(_ text: String, option: String) throws(ProfileError) {
        self.text = text
        do {
            regex = try Regex(text).matchingSemantics(.unicodeScalar)
        } catch {
            throw .invalidExpression(option: option, text: text, reason: "\(error)")
        }
    }

    public func matches(_ candidate: String) -> Bool {
        ((try? regex.firstMatch(in: candidate)) ?? nil) != nil
    }
}
