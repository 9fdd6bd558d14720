// SPDX-License-Identifier: Apache-2.0

public struct SymbolizerOptions: Sendable, Hashable {
    /// False: names from symbol tables alone. No files, lines or inlined frames, but no debug file is
    /// searched for or read.
    public var useDebugInfo: Bool
    /// Further directories laid out like `/usr/lib/debug` (with a `.build-id` directory inside).
    public var debugDirectories: [String]

    public init(useDebugInfo: Bool = true, debugDirectories: [String] = []) {
        self.useDebugInfo = useDebugInfo
        self.debugDirectories = debugDirectories
    }
}
