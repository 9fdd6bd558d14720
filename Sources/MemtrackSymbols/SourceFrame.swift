// SPDX-License-Identifier: Apache-2.0

/// What is known of one address: a function, perhaps inlined into the next frame, and where it stands.
public struct SourceFrame: Sendable, Hashable {
    /// Demangled name; nil where neither debug information nor a symbol covers the address.
    public var function: String?
    public var file: String?
    public var line: Int?
    /// The frame was inlined into the one that follows it.
    public var isInlined: Bool

    public init(function: String?, file: String? = nil, line: Int? = nil, isInlined: Bool = false) {
        self.function = function
        self.file = file
        self.line = line
        self.isInlined = isInlined
    }
}

/// A file that holds code, as it was when the target had it mapped.
public struct CodeFile: Sendable, Hashable {
    public var path: String
    /// Empty where the object has none. A file on disk with another build id is not used.
    public var buildID: [UInt8]

    public init(path: String, buildID: [UInt8]) {
        self.path = path
        self.buildID = buildID
    }
}
