// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import MemtrackRegion

@Suite struct SessionDirectoryTests {
    private let root = TemporaryDirectory()
    private var base: String { root.file("memtrack-\(geteuid())") }

    private func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    private func create() throws(RegionError) -> SessionDirectory {
        try SessionDirectory.create(launcherPID: 77, monotonicNanoseconds: 1000, roots: [root.path])
    }

    @Test func createsPrivateDirectories() throws {
        let old = umask(0)
        defer { umask(old) }
        let session = try create()
        #expect(session.path == base + "/session-77-1000")
        #expect(mode(base) == 0o700)
        #expect(mode(session.path) == 0o700)
        // The same name again: the next one is taken.
        #expect(try create().path == base + "/session-77-1001")
        mkdir(base + "/session-5-999", 0o700)
        mkdir(base + "/session-x-1", 0o700)
        #expect(
            SessionDirectory.sessions(inBase: base).map(\.path)
                == ["session-5-999", "session-77-1000", "session-77-1001"].map { base + "/" + $0 })
        #expect(SessionDirectory.bases(uid: geteuid(), roots: [root.path, "/nonexistent"]) == [base])
        #expect(SessionDirectory.bases(uid: geteuid() + 1, roots: [root.path]) == [])
    }

    @Test func fallsBackToTheNextRoot() throws {
        let roots = ["/nonexistent", "/proc/self/cmdline", root.path]
        #expect(SessionDirectory.base(uid: 5, roots: roots) == root.file("memtrack-5"))
        #expect(SessionDirectory.roots == ["/dev/shm", "/tmp"])
    }

    @Test func refusesWhatOthersMayHaveMade() throws {
        mkdir(base, 0o700)
        chmod(base, 0o755)
        #expect(throws: RegionError.notPrivate(base, mode: 0o755)) { try create() }
        rmdir(base)

        let elsewhere = root.file("elsewhere")
        mkdir(elsewhere, 0o700)
        symlink(elsewhere, base)
        #expect(throws: RegionError.notARegion(base, "a directory is needed here, not a file or a link")) {
            try create()
        }
        #expect(SessionDirectory.bases(uid: geteuid(), roots: [root.path]) == [])
        unlink(base)

        try Data().write(to: URL(filePath: base))
        #expect(throws: RegionError.self) { try create() }
    }

    /// Giving a directory away needs root.
    @Test(.enabled(if: geteuid() == 0)) func refusesAnotherUsersBase() throws {
        mkdir(base, 0o700)
        chown(base, 65534, 65534)
        #expect(throws: RegionError.notOwned(base, owner: 65534)) { try create() }
        #expect(SessionDirectory.bases(uid: 0, roots: [root.path]) == [])
        // As the library does, the launcher goes on to the next place.
        let second = TemporaryDirectory()
        let session = try SessionDirectory.create(
            launcherPID: 3, monotonicNanoseconds: 4, roots: [root.path, second.path])
        #expect(session.path.hasPrefix(second.path + "/"))
    }

    @Test func listsRegionsOldestFirst() throws {
        let session = try create()
        let others = [
            "region-1", "region-1-2-3", "region--1-2", "region-+1-2", "region-1-", "region-0-5",
            "region-1-2x",
            "region-99999999999-1", "region-1-99999999999999999999", "session-1-2", ".region-1-2", "x",
        ]
        for name in ["region-30-500", "region-4-1200", "region-5-500"] + others {
            try Data().write(to: URL(filePath: session.path + "/" + name))
        }
        let files = session.regionFiles()
        #expect(files.map(\.pid) == [5, 30, 4])
        #expect(files.map(\.createdMonotonicNanoseconds) == [500, 500, 1200])
        #expect(files.first?.path == session.path + "/region-5-500")

        #expect(try session.removeSelf() == false)
        for file in files { try session.remove(file) }
        try session.remove(files[0])
        #expect(session.regionFiles() == [])
        for name in others { unlink(session.path + "/" + name) }
        #expect(try session.removeSelf() == true)
        #expect(mode(session.path) == nil)
        #expect(try session.removeSelf() == true)
        #expect(session.regionFiles() == [])
    }
}
