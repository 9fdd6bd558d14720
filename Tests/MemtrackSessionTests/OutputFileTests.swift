// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackSession
import Testing

@Suite struct OutputFileTests {
    private let place = FileManager.default.temporaryDirectory
        .appendingPathComponent("memtrack-output-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    }

    private func file(_ name: String) -> String { place.appendingPathComponent(name).path }
    private func text(_ name: String) throws -> String {
        try String(contentsOfFile: file(name), encoding: .utf8)
    }
    private func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: place.path).sorted()
    }

    @Test func replacesAFileAndKeepsItsMode() throws {
        defer { try? FileManager.default.removeItem(at: place) }
        try OutputFile.replace(file("a"), with: Array("old, and longer".utf8))
        chmod(file("a"), 0o640)
        try OutputFile.replace(file("a"), with: Array("new".utf8))
        #expect(try text("a") == "new")
        var status = stat()
        #expect(stat(file("a"), &status) == 0 && status.st_mode & 0o777 == 0o640)
        #expect(try names() == ["a"])
    }

    @Test func aLinkGoesOnPointing() throws {
        defer { try? FileManager.default.removeItem(at: place) }
        try OutputFile.replace(file("a"), with: Array("old".utf8))
        #expect(symlink("a", file("link")) == 0)
        try OutputFile.replace(file("link"), with: Array("new".utf8))
        #expect(try text("a") == "new")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: file("link")) == "a")
    }

    /// The file behind `/dev/fd/N` is another program's output: what that writes later is not lost with the name.
    @Test func aDescriptorIsWrittenTo() throws {
        defer { try? FileManager.default.removeItem(at: place) }
        let descriptor = open(file("out"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
        defer { close(descriptor) }
        try OutputFile.replace("/dev/fd/\(descriptor)", with: Array("json\n".utf8))
        #expect(write(descriptor, "more\n", 5) == 5)
        #expect(try text("out") == "json\nmore\n")
    }
}
