// SPDX-License-Identifier: Apache-2.0
internal import MemtrackRegion

/// What a table of sites is sorted by, largest first. The raw values are those of `--sort`.
public enum SiteOrder: String, Sendable, Hashable, CaseIterable {
    /// Live bytes.
    case live
    /// Allocations so far.
    case count
    /// Bytes allocated so far.
    case allocated
    /// Change of live bytes since the checkpoint before.
    case growth
    /// Bytes that were live at the process's peak.
    case peak

    func weight(_ counters: Counters, change: Int64) -> Int64 {
        switch self {
        case .live: counters.liveBytes
        case .count: Int64(clamping: counters.allocations)
        case .allocated: Int64(clamping: counters.allocatedBytes)
        case .growth: change
        case .peak: counters.peakBytes
        }
    }

    /// Sorts sites; ties are broken by live size, as where nothing has grown, then by function, file, line and module, so the
    /// order is always the same.
    ///
    /// - Parameters:
    ///   - table: of the profile that the sites are of; without one their texts are compared, which takes longer.
    ///   - change: live bytes gained since the checkpoint before, by site.
    public func sorted(
        _ sites: [Site], of table: StackTable? = nil, change: (FrameID) -> Int64 = { _ in 0 }
    ) -> [Site] {
        let weights = sites.map { weight($0.counters, change: change($0.id)) }
        return sites.indices.sorted { left, right in
            if weights[left] != weights[right] { return weights[left] > weights[right] }
            let live = (sites[left].counters.liveBytes, sites[right].counters.liveBytes)
            if live.0 != live.1 { return live.0 > live.1 }
            return table?.precedes(sites[left].id, sites[right].id)
                ?? Frame.precedes(sites[left].frame, sites[right].frame)
        }.map { sites[$0] }
    }
}

/// Picks sites by a regular expression on function, file or module, as `--filter` does.
public struct SiteFilter: Sendable {
    private let pattern: TextPattern

    public init(_ text: String) throws(ProfileError) {
        pattern = try TextPattern(text, option: "--filter")
    }

    public var text: String { pattern.text }

    public func admits(_ frame: Frame) -> Bool {
        frame.matches(pattern)
    }

    public func apply(to sites: [Site]) -> [Site] { sites.filter { admits($0.frame) } }
}
