// SPDX-License-Identifier: Apache-2.0
internal import Glibc
public import MemtrackProfile
public import MemtrackReport

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
    private var isClosed = false

    /// - Parameter directory: made with its parents when the file is.
    public init(directory: String, program: String, start: WallTime, pid: Int32) {
        self.directory = directory
        let moment = start.components
        path = directory + "/" + HistoryNaming.textName(program: program, start: moment, pid: pid)
        jsonLinesPath =
            directory + "/" + HistoryNaming.jsonLinesName(program: program, start: moment, pid: pid)
    }

    /// Throws if it is plain already that nothing can be written in a directory; makes nothing.
    public static func check(directory: String) throws(SessionError) {
        let code = OutputFile.obstacle(toDirectory: directory)
        if code != 0 { throw .cannotMakeDirectory(path: directory, errno: code) }
    }

    /// Whether there is a text to look at.
    public var isWritten: Bool { text != nil }

    /// Appends a checkpoint; makes the files if need be. After one failure nothing more is written.
    public func add(
        _ checkpoint: Checkpoint, session: SessionSummary,
        types: TypeTableText.Options = TypeTableText.Options()
    ) throws(SessionError) {
        guard try open(session) else { return }
        try write(HistoryText.checkpoint(checkpoint, types: types), to: text)
        var shown = checkpoint
        shown.types = checkpoint.types?.showing(types.filter)
        guard let line = try? ReportJSON.line(shown) else { return }
        try write(String(decoding: line, as: UTF8.self), to: lines)
    }

    /// Appends the overall figures; nothing can be added after that.
    public func finish(_ session: SessionSummary) throws(SessionError) {
        guard try open(session) else { return }
        try write(HistoryText.end(session), to: text)
        isClosed = true
    }

    private func open(_ session: SessionSummary) throws(SessionError) -> Bool {
        if isClosed { return false }
        if text != nil { return true }
        do throws(SessionError) {
            try OutputFile.makeDirectory(directory)
            let text = try OutputFile(path: path)
            lines = try OutputFile(path: jsonLinesPath)
            try text.write(HistoryText.head(session))
            self.text = text
        } catch {
            isClosed = true
            throw error
        }
        return true
    }

    private func write(_ string: String, to file: OutputFile?) throws(SessionError) {
        do throws(SessionError) {
            try file?.write(string)
        } catch {
            isClosed = true
            throw error
        }
    }
}
