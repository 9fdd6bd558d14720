// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// Names of saved profiles, by a template as the kernel's core_pattern has it.
public struct ProfileNaming: Sendable {
    private enum Part: Sendable, Hashable {
        case text(String)
        case pid
        case host
        case program
        case time
        case checkpoint
    }

    private let parts: [Part]

    /// - Returns: nil where a `%` is followed by none of the known letters.
    public init?(_ template: String) {
        var parts: [Part] = []
        var text = ""
        var isEscape = false
        for character in template {
            guard isEscape else {
                if character == "%" { isEscape = true } else { text.append(character) }
                continue
            }
            isEscape = false
            let part: Part
            switch character {
            case "p": part = .pid
            case "h": part = .host
            case "e": part = .program
            case "t": part = .time
            case "c": part = .checkpoint
            case "%":
                text.append("%")
                continue
            default: return nil
            }
            parts += [.text(text), part]
            text = ""
        }
        if isEscape { return nil }
        self.parts = parts + [.text(text)]
    }

    /// What is used where nothing is asked for: `memtrack.<program>.<pid>.pb.gz` in the history's directory; of a
    /// watch, of which a process may have several, `memtrack.<program>.<pid>.YYYYMMDD_HHMMSS.pb.gz`.
    public static func standard(directory: String, watchedFrom moment: WallTime? = nil) -> ProfileNaming {
        let stamp = moment.map { "." + HistoryNaming.stamp($0.components) } ?? ""
        var naming = ProfileNaming(
            parts: [.text("memtrack."), .program, .text("."), .pid, .text(stamp + ".pb.gz")])
        if !directory.isEmpty { naming = ProfileNaming(parts: [.text(directory + "/")] + naming.parts) }
        return naming
    }

    private init(parts: [Part]) { self.parts = parts }

    /// One file for each checkpoint.
    public var hasCheckpoint: Bool { parts.contains(.checkpoint) }

    public func path(_ session: SessionSummary, checkpoint: Int) -> String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .pid: "\(session.pid)"
            case .host: HistoryNaming.sanitized(session.host)
            case .program: HistoryNaming.sanitized(session.program)
            case .time: "\(Int64(session.start.unixSeconds))"
            case .checkpoint: "\(checkpoint)"
            }
        }.joined()
    }
}
