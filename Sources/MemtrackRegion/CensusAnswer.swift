// SPDX-License-Identifier: Apache-2.0
internal import CMemtrack
internal import Glibc

/// What the reader says to a program that waits at its end until its objects have been looked at.
public enum CensusAnswer: Sendable {
    /// It is being looked at: the program waits longer than for the answer alone.
    case begun
    /// It may go on.
    case done

    /// Writes the answer into a region. That it cannot be written is no error: the program waits no longer than it wants.
    public func write(to path: String) {
        var word =
            switch self {
            case .begun: MEMTRACK_CENSUS_BEGUN.rawValue
            case .done: MEMTRACK_CENSUS_DONE.rawValue
            }
        let offset = MemoryLayout<memtrack_header>.offset(of: \.census) ?? 0
        let file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return }
        defer { close(file) }
        if offset > 0 { _ = pwrite(file, &word, 4, off_t(offset)) }
    }
}
