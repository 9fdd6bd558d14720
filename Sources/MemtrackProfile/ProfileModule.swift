// SPDX-License-Identifier: Apache-2.0

/// An object file that frames of a profile come from: an executable or a shared library.
public struct ProfileModule: Sendable, Hashable {
    /// As in `Frame.module`.
    public var path: String
    /// Empty where the file has none.
    public var buildID: [UInt8]

    public init(path: String, buildID: [UInt8]) {
        self.path = path
        self.buildID = buildID
    }

    /// In hexadecimal, as file(1) and debuginfod write it.
    public var buildIDText: String {
        buildID.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
