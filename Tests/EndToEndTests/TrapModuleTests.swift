// SPDX-License-Identifier: Apache-2.0
import Foundation
import MemtrackRegion
import Testing

/// Libraries that come and go, and other libraries that are preloaded. The fixtures are loader.c and plugin.c.
@Suite struct TrapModuleTests {
    private func plugin(_ name: String, room: Int) throws -> String {
        try Compiled.fixture(
            "plugin.c", as: "plugin-" + name,
            ["-O1", "-shared", "-fPIC", "-DPLUGIN=\(name)", "-DROOM=\(room)"])
    }

    /// Guards the interposed dlclose: two libraries in turn at one address, with frames of different size. Without it
    /// stacks name the wrong one, or are unwound by the other's rules.
    @Test func twoLibrariesAtOneAddress() throws {
        let rounds = 1500
        let session = try Session()
        let libraries = [try plugin("one", room: 520), try plugin("two", room: 1048)]
        let finished = try session.run([Compiled.fixture("loader.c"), String(rounds)] + libraries)
        #expect(finished.isSuccess, "\(finished.end)")
        let same = Int(finished.outputText.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
        try #require(same > rounds, "the loader put the two at different places: this shows nothing")

        let report = try FixtureReport(session)
        for (name, library) in zip(["one", "two"], libraries) {
            let sites = report.sites(in: "inner_" + name)
            #expect(sites.map(\.counters.allocations).reduce(0, +) == rounds, "\(name)")
            for site in sites {
                #expect(site.frame.module == library)
                #expect(site.stack.map(\.function).prefix(3) == ["inner_" + name, "plugin_make", "main"])
            }
        }
        // Loading one again adds nothing: the tables stay as small as after the first round.
        let region = try session.region()
        #expect(region.nodes.compactMap { $0 }.count < 500)
        #expect(region.modules.count < 20)
        #expect(region.health.incompleteStacks == 0)
    }

    /// Guards that a child drops the rules it has from its parent when it unloads their library, even before its first
    /// allocation; and that it has them until then: the plug-in's own pages are at the same place in both.
    @Test func unloadedInAChild() throws {
        let session = try Session()
        let libraries = [try plugin("one", room: 520), try plugin("two", room: 1048)]
        let finished = try session.run([Compiled.fixture("loader.c"), "fork"] + libraries)
        try #require(finished.end == .exited(5), "\(finished.end)")
        let files = session.files()
        try #require(files.count == 2)
        let sites = try FixtureReport(region: files[1].path).sites(in: "inner_two")
        #expect(sites.map(\.counters.allocations).reduce(0, +) == 50)
        for site in sites {
            #expect(
                site.stack.map(\.function).prefix(4) == ["inner_two", "plugin_make", "across_fork", "main"])
        }
        #expect(try session.regions().allSatisfy { $0.health.incompleteStacks == 0 })
    }

    /// Guards the bootstrap: what dlsym allocates when it does not find a function comes from a small arena, and its
    /// error message is not left for the program (loader.c asks for it first of all).
    @Test func bootstrapLeavesNoTrace() throws {
        let session = try Session()
        #expect(try session.run([Compiled.fixture("loader.c"), "0"]).end == .exited(0))
    }

    /// Guards the same against dlerror, which translates its message: curl hung in its first setlocale.
    @Test func bootstrapInsideALockOfTheLocale() throws {
        let session = try Session()
        let library = try Compiled.fixture("locale.c", ["-O0", "-shared", "-fPIC"])
        let finished = try Command.run(
            [Compiled.fixture("endings.c", ["-O1"])], environment: session.environment(preload: [library]),
            timeout: 20)
        #expect(finished.isSuccess)
    }

    /// Another preloaded library, whose constructor and destructor allocate, before ours and behind.
    @Test(arguments: [true, false])
    func besideAnotherLibrary(_ first: Bool) throws {
        let other = try Compiled.fixture("early.c", ["-O1", "-shared", "-fPIC"])
        let session = try Session()
        let library = try Build.library()
        let order = first ? [other, library] : [library, other]
        let finished = try session.run(
            [Compiled.fixture("endings.c", ["-O1"])], ["LD_PRELOAD": order.joined(separator: " ")])
        #expect(finished.isSuccess)
        let region = try session.region()
        // endings.c makes 2,000 blocks and frees 400; early.c makes and frees 3 of 700, before main and after.
        let early = region.cells.filter { $0.sizeClass == SizeClass.containing(700) }
        #expect(early.map(\.counters.allocations).reduce(0, +) == 6)
        #expect(early.map(\.counters.frees).reduce(0, +) == 6)
        #expect(region.totals.allocations == 2006)
        #expect(region.totals.frees == 406)
        #expect(region.health.unknownFrees == 0)
    }

    /// Guards that our calls of dlsym are ours where a library of LD_AUDIT has the loader make them: it asked for what comes behind
    /// the loader itself, and crashed.
    @Test func besideALibraryThatAudits() throws {
        let audit = try Compiled.fixture("audit.c", ["-O1", "-shared", "-fPIC"])
        let command = [try Compiled.fixture("endings.c", ["-O1"])]
        let bare = try Command.run(command, environment: ["LD_AUDIT": audit])
        try #require(bare.isSuccess, "\(bare.end)")
        let session = try Session()
        let finished = try session.run(command, ["LD_AUDIT": audit])
        #expect(finished.isSuccess, "\(finished.end)")
        #expect(try session.region().totals.allocations >= 2000)
    }

    /// Guards that the whole family is taken from one allocator, whichever stands behind us. Shows something where
    /// libjemalloc2, libtcmalloc-minimal4 or libmimalloc2.0 is installed.
    @Test(arguments: ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
    func otherAllocators(_ name: String) throws {
        let known = try Command.run(["/sbin/ldconfig", "-p"]).outputText
        guard let line = known.split(separator: "\n").first(where: { $0.contains(name) }),
            let path = line.split(separator: " ").last.map(String.init)
        else { return }
        let session = try Session()
        let preload = [try Build.library(), path].joined(separator: ":")
        let program = try Compiled.fixture("known.c", ["-O0"])
        let bare = try Command.run([program, "plain"], environment: ["LD_PRELOAD": path])
        let finished = try session.run([program, "plain"], ["LD_PRELOAD": preload])
        #expect(finished.end == bare.end)
        #expect(try FixtureReport(session).sites(in: "leak_100").first?.counters.liveBlocks == 1000)
        #expect(try session.region().health.unknownFrees == 0)
        let cxx = try Session()
        let forms = try Compiled.fixture("known.cpp", ["-O1"])
        // mimalloc as Debian builds it aborts where operator new is refused: without us too.
        let bareForms = try Command.run([forms], environment: ["LD_PRELOAD": path])
        #expect(try cxx.run([forms], ["LD_PRELOAD": preload]).end == bareForms.end)
        let plain = try FixtureReport(cxx).sites(in: "plain_forms")
        #expect(plain.map(\.counters.allocations).reduce(0, +) == 60)
    }

    /// Guards that glibc's debugging allocator stays in force: its functions have the version that programs ask for, and are
    /// not what a look without a version finds. The fixture is overrun.c.
    @Test func debuggingAllocatorOfLibc() throws {
        let program = try Compiled.fixture("overrun.c", ["-O0"])
        let name = "libc_malloc_debug.so.0"
        let variables = ["MALLOC_CHECK_": "3"]
        let bare = try Command.run(
            [program], environment: variables.merging(["LD_PRELOAD": name]) { $1 })
        try #require(bare.end == .killed(SIGABRT))
        let session = try Session()
        let preload = try Build.library() + ":" + name
        let finished = try session.run([program], variables.merging(["LD_PRELOAD": preload]) { $1 })
        #expect(finished.end == bare.end)
        #expect(finished.errors == bare.errors)
        #expect(try session.region().totals.allocations >= 1)
    }

    /// Programs that are linked to another allocator, which comes behind us all the same; and libc's functions call
    /// ours, so that each block is freed where it came from.
    @Test(arguments: ["libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2"])
    func linkedAllocators(_ name: String) throws {
        let known = try Command.run(["/sbin/ldconfig", "-p"]).outputText
        let line = known.split(separator: "\n").first { $0.contains(name) }
        let path = try #require(line?.split(separator: " ").last.map(String.init), "\(name) is not installed")
        let program = try Compiled.fixture("known.c", as: "linked", ["-O0", "-Wl,--no-as-needed", path])
        let needed = try Command.run(["readelf", "-d", program]).outputText
        #expect(needed.contains(name))
        let bare = try Command.run([program, "plain"])
        let session = try Session()
        let finished = try session.run([program, "plain"])
        #expect(finished.end == bare.end)
        #expect(finished.output == bare.output)
        #expect(finished.errors == bare.errors)
        #expect(try FixtureReport(session).sites(in: "leak_100").first?.counters.liveBlocks == 1000)
        #expect(try session.region().health.unknownFrees == 0)
        let launched = try Command.run(
            [Build.launcher(), "-q", "--no-history", "-i", "0", program, "plain"])
        #expect(launched.end == bare.end)
        #expect(launched.output == bare.output)
        #expect(launched.errors == bare.errors)
    }

    /// Two profilers at once: the library by two names of one file, and as a copy, which is a second one that stands
    /// behind the first as its next allocator. The program does not notice, and one region a copy has the counts.
    @Test(arguments: ["twice", "link", "copy"])
    func twoOfUs(_ how: String) throws {
        let session = try Session()
        let library = try Build.library()
        let place = try TemporaryDirectory()
        var other = library
        if how != "twice" { other = place.file("libmemtrack_preload.so") }
        if how == "link" { symlink(library, other) }
        if how == "copy" { try FileManager.default.copyItem(atPath: library, toPath: other) }
        let finished = try session.run(
            [Compiled.fixture("endings.c", ["-O1"])], ["LD_PRELOAD": library + ":" + other])
        #expect(finished.isSuccess, "\(finished.end)")
        #expect(finished.errorText == "")
        let regions = try session.regions()
        #expect(!regions.isEmpty)
        // endings.c makes 2,000 blocks and frees 400. One copy also sees what the other's start takes and gives back.
        #expect(regions.contains { $0.totals.allocations == 2000 && $0.totals.frees == 400 })
        for region in regions {
            #expect(region.totals.liveBlocks == 1600)
            #expect(region.health.unknownFrees == 0)
            #expect(region.damagedRecords == 0)
        }
    }
}
