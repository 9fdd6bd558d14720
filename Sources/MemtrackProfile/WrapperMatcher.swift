// SPDX-License-Identifier: Apache-2.0

/// Decides whether a function only allocates on behalf of its caller. Memoised per name.
public struct WrapperMatcher: Sendable {
    private let names: Set<String>
    private let prefixes: [String]
    private let exceptions: [String]
    private let userPatterns: [TextPattern]
    /// Whole names that were wrappers where a profile was made.
    private var adopted: Set<String> = []
    private var memo: [String: Bool] = [:]

    /// - Parameter userPatterns: the values of `--alloc-fn`, matched against the whole name as shown.
    public init(userPatterns: [TextPattern] = []) {
        var names: Set<String> = []
        var prefixes: [String] = []
        for group in AllocationWrappers.groups {
            names.formUnion(group.names)
            prefixes += group.prefixes
        }
        self.names = names
        self.prefixes = prefixes
        exceptions = AllocationWrappers.groups.flatMap(\.exceptPrefixes)
        self.userPatterns = userPatterns
    }

    /// - Parameter function: a demangled name, with or without return type and parameters.
    public mutating func matches(_ function: String) -> Bool {
        if let known = memo[function] { return known }
        let result = decide(function)
        memo[function] = result
        return result
    }

    /// Takes functions for wrappers by their whole names, as a saved profile lists them.
    public mutating func adopt(_ functions: [String]) {
        adopted.formUnion(functions)
        memo = [:]
    }

    private func decide(_ function: String) -> Bool {
        if adopted.contains(function) { return true }
        let name = FunctionName.qualified(function)
        if names.contains(name) { return true }
        if prefixes.contains(where: { name.hasBytePrefix($0) })
            && !exceptions.contains(where: { name.hasBytePrefix($0) })
        {
            return true
        }
        return userPatterns.contains { $0.matches(function) }
    }
}

extension String {
    /// `hasPrefix` without Unicode normalisation: symbol names are bytes.
    func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
}
