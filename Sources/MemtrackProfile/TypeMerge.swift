// SPDX-License-Identifier: Apache-2.0

internal import MemtrackObjects

extension TypeTable {
    /// The objects of several profiles, added up: of hosts, children or runs. nil where none has any. Changes belong to
    /// a run of its own and are left out.
    static func merged(_ tables: [TypeTable]) -> TypeTable? {
        guard !tables.isEmpty else { return nil }
        var result = TypeTable()
        var rows: [TypeKey: TypeRow] = [:]
        var sites: [TypeKey: [Frame: TypeSite]] = [:]
        for table in tables {
            result.reading += table.reading
            result.elapsed = max(result.elapsed, table.elapsed)
            for problem in table.problems where !result.problems.contains(problem) {
                result.problems.append(problem)
            }
            for row in table.rows where row.count > 0 {
                let key = TypeKey(row)
                var sum = rows[key] ?? TypeRow(runtime: row.runtime, name: row.name)
                sum.sum += row.sum
                rows[key] = sum
                for site in row.sites {
                    var known = sites[key]?[site.frame] ?? TypeSite(frame: site.frame, count: 0, bytes: 0)
                    known.count += site.count
                    known.bytes &+= site.bytes
                    sites[key, default: [:]][site.frame] = known
                }
            }
        }
        result.rows = rows.map { key, row in
            var row = row
            row.sites = TypeSite.ranked(sites[key].map { Array($0.values) } ?? [])
            return row
        }
        result.rows = result.sorted(by: .live)
        return result
    }
}
