// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackLaunch

@Suite struct PreloadEnvironmentTests {
    private func prepare(
        _ entries: [RawString], library: String = "/lib/m.so", settings: [(name: String, value: String)] = [],
        link: (String) throws(LaunchError) -> String = { _ in "/unexpected" }
    ) throws -> [RawString] {
        try PreloadEnvironment.prepare(
            Environment(entries: entries), library: library, settings: settings, link: link
        ).entries
    }

    @Test func oursComesFirstAndTheUsersStays() throws {
        #expect(try prepare(["A=1"]) == ["A=1", "LD_PRELOAD=/lib/m.so"])
        #expect(
            try prepare(["LD_PRELOAD=/a.so /b.so:c.so", "A=1"])
                == ["LD_PRELOAD=/lib/m.so:/a.so /b.so:c.so", "A=1"])
        #expect(try prepare(["LD_PRELOAD="]) == ["LD_PRELOAD=/lib/m.so"])
        #expect(try prepare(["LD_PRELOAD= : "]) == ["LD_PRELOAD=/lib/m.so"])
    }

    @Test func alreadyFirstIsNotRepeated() throws {
        let entries: [RawString] = ["LD_PRELOAD=/lib/m.so:/a.so"]
        #expect(try prepare(entries) == entries)
        #expect(try prepare(["LD_PRELOAD=/a.so:/lib/m.so"]) == ["LD_PRELOAD=/lib/m.so:/a.so:/lib/m.so"])
    }

    @Test func settingsReplaceAndOddEntriesStay() throws {
        let odd = RawString([0x58, 0x3d, 0xff])
        #expect(
            try prepare(
                ["X=1", odd, "no equals sign", "=", "XY=2", "X=3"],
                settings: [("X", "a b"), ("MEMTRACK_SESSION", "/s")])
                == ["X=a b", "no equals sign", "=", "XY=2", "LD_PRELOAD=/lib/m.so", "MEMTRACK_SESSION=/s"])
    }

    @Test(arguments: ["/opt/my lib/m.so", "/opt/a:b/m.so", "/opt/$LIB/m.so", "/opt/$ORIGIN/m.so"])
    func pathsThatTheLoaderWouldSplitNeedALink(library: String) throws {
        var asked: [String] = []
        let entries = try prepare([], library: library) {
            asked.append($0)
            return "/session/m.so"
        }
        #expect(entries == ["LD_PRELOAD=/session/m.so"])
        #expect(asked == [library])
        for link in ["/also a blank", "relative"] {
            #expect(throws: LaunchError.libraryPathNotUsable(path: library, link: link)) {
                try prepare([], library: library) { _ in link }
            }
        }
    }

    @Test func relativePathIsRefused() {
        #expect(throws: LaunchError.libraryPathNotAbsolute(path: "m.so")) { try prepare([], library: "m.so") }
    }

    @Test func symbolicLinkIsMadeOnceAndLeadsToTheLibrary() throws {
        let scratch = Scratch()
        let make = PreloadEnvironment.symbolicLink(in: scratch.path)
        let link = try make("/opt/my lib/m.so")
        #expect(link == scratch.path + "/libmemtrack_preload.so")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "/opt/my lib/m.so")
        #expect(try make("/opt/my lib/m.so") == link)
        #expect(throws: LaunchError.cannotLinkLibrary(path: "/o ther", link: link, code: EEXIST)) {
            try make("/o ther")
        }
        let missing = PreloadEnvironment.symbolicLink(in: scratch.path + "/none")
        #expect(throws: LaunchError.self) { try missing("/opt/my lib/m.so") }
        // Nothing is made where it would not help.
        let blank = PreloadEnvironment.symbolicLink(in: scratch.path + "/a b")
        #expect(try blank("/opt/my lib/m.so").contains(" "))
    }

    /// The loader itself says whether the path arrives whole.
    @Test func loaderFindsTheLibraryThroughTheLink() throws {
        let scratch = Scratch()
        let source = try scratch.file("lib.c", "int memtrack_test_marker;\n")
        let library = scratch.path + "/with blank:colon.so"
        let build = try Running(["cc", "-shared", "-fPIC", "-o", library, source], in: scratch)
        #expect(build.end() == .exit(0))
        let environment = try PreloadEnvironment.prepare(
            Environment(entries: []), library: library, settings: [],
            link: PreloadEnvironment.symbolicLink(in: scratch.path))
        let value = try #require(environment["LD_PRELOAD"]).description
        let run = try Running(
            ["grep", "-c", "with blank:colon.so", "/proc/self/maps"], in: scratch,
            environment: ["LD_PRELOAD": value])
        #expect(run.end() == .exit(0))
        #expect(run.errors == "")
    }
}
