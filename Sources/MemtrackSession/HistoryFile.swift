// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProfile
internal import MemtrackReport

/// The history of a session: a text for people and its twin in JSON lines.
///
/// Both are made at the first checkpoint or after the target has ended, so that a target that lists its
/// working directory never sees them appear at its start; and written as the session goes, so that a
/// launcher that is killed has lost nothing it had printed.
public final class HistoryFile {
    public let path: String
    public let jsonLinesPath: String
    private let directory: String
    private var text: OutputFile?
    private var lines: OutputFile?
    private var isBroken = false

    /// - Parameter directory: made with its parents when the file is.
    public init(directory: String, program: String, start: WallTime, pid: Int32) {
        self.directory = directory
        let moment = start.components
        path = directory + "/" + HistoryNaming.textName(program: program, start: moment, pid: pid)
        jsonLinesPath = directory + "/" + HistoryNaming.jsonLinesName(program: program, start: moment, pid: pid)
    }

    public var isOpen: Bool { text != nil }

    /// Appends a checkpoint; makes the files if need be. After one failure nothing more is written.
    public func add(_ checkpoint: Checkpoint, session: SessionSummary) throws(SessionError) {
        guard try open(session) else { return }
        try write(HistoryText.checkpoint(checkpoint), to: text)
        guard let line = try? ReportJSON.line(checkpoint) else { return }
        try write(String(decoding: line, as: UTF8.self) + "\n", to: lines)
    }

    /// Appends the overall figures and closes the files.
    public func finish(_ session: SessionSummary) throws(SessionError) {
        guard try open(session) else { return }
        try write(HistoryText.end(session), to: text)
        text = nil
        lines = nil
        isBroken = true
    }

    private func open(_ session: SessionSummary) throws(SessionError) -> Bool {
        if isBroken { return false }
        if text != nil { return true }
        do throws(SessionError) {
            try OutputFile.makeDirectory(directory)
            let text = try OutputFile(path: path)
            lines = try OutputFile(path: jsonLinesPath)
            self.text = text
        } catch {
            isBroken = true
            throw error
        }
        try write(HistoryText.head(session), to: text)
        return true
    }

    private func write(_ string: String, to file: OutputFile?) throws(SessionError) {
        do throws(SessionError) {
            try file?.write(string)
        } catch {
            isBroken = true
            throw error
        }
    }
}
