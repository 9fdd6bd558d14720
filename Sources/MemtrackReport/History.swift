// SPDX-License-Identifier: Apache-2.0
public import MemtrackProfile

/// Names of history files.
public enum HistoryNaming {
    /// `<program>_memory_monitor_YYYYMMDD_HHMMSS_pidN.txt`. The program's name is reduced to letters,
    /// digits, `.`, `_`, `+` and `-`, at most 64 of them, and never begins with a dot.
    public static func textName(program: String, start: WallTime.Components, pid: Int32) -> String {
        stem(program: program, start: start, pid: pid) + ".txt"
    }

    /// The twin in JSON lines.
    public static func jsonLinesName(program: String, start: WallTime.Components, pid: Int32) -> String {
        stem(program: program, start: start, pid: pid) + ".jsonl"
    }

    private static func stem(program: String, start: WallTime.Components, pid: Int32) -> String {
        "\(sanitized(program))_memory_monitor_\(stamp(start))_pid\(pid)"
    }

    /// `YYYYMMDD_HHMMSS`.
    static func stamp(_ start: WallTime.Components) -> String {
        let year = String(start.year)
        let date =
            String(repeating: "0", count: max(0, 4 - year.count)) + year + FigureText.two(start.month)
            + FigureText.two(start.day)
        let time = [start.hour, start.minute, start.second].map(FigureText.two).joined()
        return date + "_" + time
    }

    static func sanitized(_ program: String) -> String {
        var result = ""
        for scalar in Frame.baseName(program).unicodeScalars.prefix(64) {
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", "_", "+", "-": result.unicodeScalars.append(scalar)
            case "." where !result.isEmpty: result.unicodeScalars.append(scalar)
            default: result += "_"
            }
        }
        return result.isEmpty ? "program" : result
    }
}

/// The history file, piece by piece: a head, each checkpoint as it comes, the overall figures.
public enum HistoryText {
    public static func head(_ session: SessionSummary) -> String {
        var lines = TextLines(.file)
        lines.rule("memtrack history", ["\(Escape.text(session.program)) (\(session.pid))"])
        let start = session.start.components
        let offset = session.start.utcOffsetSeconds
        let zone =
            (offset < 0 ? "-" : "+") + FigureText.two(abs(offset) / 3_600)
            + FigureText.two(abs(offset) / 60 % 60)
        let date = [start.year, start.month, start.day].map(FigureText.two).joined(separator: "-")
        let time = [start.hour, start.minute, start.second].map(FigureText.two).joined(separator: ":")
        let items = [
            ("command", session.commandLine.map(Escape.text).joined(separator: " ")),
            ("started", "\(date) \(time) \(zone)"), ("host", Escape.text(session.host)),
            ("interval", session.interval > 0 ? FigureText.duration(session.interval) : "none"),
        ]
        for (label, text) in items {
            lines.add([Span("  " + DisplayWidth.pad(label, to: 10, right: false)), Span(text)])
        }
        lines.blank()
        return lines.text
    }

    public static func checkpoint(
        _ checkpoint: Checkpoint, types options: TypeTableText.Options = TypeTableText.Options()
    ) -> String {
        CheckpointText.render(checkpoint, layout: .file, sizeClassLimit: 0, types: options)
    }

    /// Overall start, end, peak and average, and how the program ended.
    public static func end(_ session: SessionSummary) -> String {
        var lines = TextLines(.file)
        lines.rule("Overall", [FinalReport.ended(session)])
        if session.series.checkpoints.isEmpty {
            lines.add([Span("  no checkpoints")])
        } else {
            SeriesTable(series: session.series).write(to: &lines)
        }
        return lines.text
    }
}
