// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProfile
internal import MemtrackRegion
internal import MemtrackSymbols

/// A profile builder with symbols behind it, and the reasons why some files gave none.
public final class SymbolSource {
    public let builder: ProfileBuilder
    let symbolizer: Symbolizer
    private let files: Files

    private final class Files { var seen: Set<CodeFile> = [] }

    /// - Parameter isNeeded: false where nobody is going to see a name: no file is opened then, and all of a
    ///   launcher's processor time but a little was that.
    public init(wrappers: WrapperMatcher, isNeeded: Bool = true) {
        let symbolizer = Symbolizer()
        let files = Files()
        self.symbolizer = symbolizer
        self.files = files
        builder = ProfileBuilder(wrappers: wrappers) { file, address in
            guard isNeeded else { return [] }
            files.seen.insert(file)
            return symbolizer.frames(in: file, address: address)
        }
    }

    /// Why the largest sites of a profile lack names or lines: one sentence for each of the files concerned, the
    /// heaviest first, at most `limit`. Files that hold none of these sites are nobody's concern.
    public func notes(on profile: Profile, sites count: Int = 10, limit: Int = 3) -> [String] {
        var modules: [String] = []
        for order in [SiteOrder.peak, .live, .count] {
            for site in order.sorted(profile.sites, of: profile.table).prefix(count) {
                let frame = site.frame
                let isLacking = frame.kind == .address || (frame.kind == .function && frame.file == nil)
                let matters = order == .count || max(site.counters.peakBytes, site.counters.liveBytes) > 0
                if isLacking, matters, !frame.module.isEmpty, !modules.contains(frame.module) {
                    modules.append(frame.module)
                }
            }
        }
        let notes = modules.compactMap { module in
            files.seen.lazy.filter { $0.path == module }.compactMap { self.symbolizer.note(for: $0) }.min()
        }
        return Array(notes.prefix(limit))
    }
}

/// Shows how far symbolizing has got, on a terminal, once it has taken a second.
public final class ProgressLine {
    private let isShown: Bool
    private var started: UInt64 = 0
    private var last: UInt64 = 0

    public init(isTerminal: Bool) { isShown = isTerminal }

    public func update(_ done: Int, _ total: Int) {
        guard isShown else { return }
        let now = Clocks.monotonicNanoseconds
        if done == 0 || started == 0 { started = now }
        if done == total {
            if last != 0 { put("\r\u{1b}[K") }
            last = 0
        } else if now &- started > 1_000_000_000, now &- last > 100_000_000 {
            put("\rmemtrack: finding names, \(done * 100 / max(total, 1)) % of \(total) addresses\u{1b}[K")
            last = now
        }
    }

    private func put(_ text: String) {
        try? OutputFile(descriptor: 2, name: "standard error").write(text)
    }
}
