// SPDX-License-Identifier: Apache-2.0

/// A path without `.`, empty and `name/..` parts, by its text alone: `/a/b/../c.h` is `/a/c.h`.
///
/// The file may not exist here, so symbolic links cannot be honoured.
func simplifiedPath(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
        if part == "..", let last = parts.last, last != ".." {
            parts.removeLast()
        } else if part != ".." || !path.hasPrefix("/") {
            parts.append(part)
        }
    }
    return (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
}
