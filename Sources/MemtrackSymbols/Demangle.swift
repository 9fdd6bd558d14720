// SPDX-License-Identifier: Apache-2.0

internal import CDemangle
internal import Glibc

/// The readable form of a symbol name: C++ (with its clone suffixes: `foo(int) [clone .cold]`), Rust
/// (legacy without the hash, and v0), D and Swift. A name mangled in none of these ways, such as any C
/// function's, is returned as it is; so is one too long (8 KiB) or too large when readable (256 KiB).
public func demangle(_ name: String) -> String {
    // A NUL inside would cut the name short.
    guard name.utf8.first.map(isMangledPrefix) == true, !name.utf8.contains(0) else { return name }
    guard let readable = memtrack_demangle(name) else { return name }
    defer { free(readable) }
    return String(cString: readable)
}

private func isMangledPrefix(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "_") || byte == UInt8(ascii: "$") || byte == UInt8(ascii: "@")
}
