// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc

/// The first word of the command line, where it should be a subcommand. The parser takes one that it does not know for an
/// argument too many.
enum Subcommand {
    static let names = Memtrack.configuration.subcommands.compactMap { $0.configuration.commandName }

    /// Where the help on a command line is.
    static func help(for arguments: [String]) -> String {
        guard let first = arguments.first, names.contains(first) else { return "memtrack --help" }
        return "memtrack \(first) --help"
    }

    /// Refuses what is no subcommand, or none that `help` could tell of.
    static func check(_ arguments: [String]) throws {
        guard var word = arguments.first, !word.hasPrefix("-") else { return }
        if word == "help" {
            guard arguments.count > 1, !arguments[1].hasPrefix("-") else { return }
            word = arguments[1]
        }
        if names.contains(word) || word == "help" { return }
        throw ValidationError("'\(word)' is no subcommand; \(advice(on: word))")
    }

    private static func advice(on word: String) -> String {
        let all = "there are " + names.joined(separator: ", ")
        if access(word, F_OK) == 0 { return "to see a file, write: memtrack report \(word); \(all)" }
        let distances = names.map { (name: $0, distance: distance(word, $0)) }
        guard let near = distances.min(by: { $0.distance < $1.distance }), near.distance <= 2 else {
            return all
        }
        return "did you mean \(near.name)? \(all)"
    }

    /// Letters to insert, leave out, replace or exchange with their neighbour (Damerau, Levenshtein).
    private static func distance(_ left: String, _ right: String) -> Int {
        // Nothing near is longer, and what the user types may be.
        let (left, right) = (Array(left.utf8.prefix(32)), Array(right.utf8))
        var rows = [Array(0...right.count)]
        for i in 1...max(1, left.count) where i <= left.count {
            var row = [i]
            for j in 1...right.count {
                let isSame = left[i - 1] == right[j - 1]
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (isSame ? 0 : 1))
                if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] {
                    best = min(best, rows[i - 2][j - 2] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
