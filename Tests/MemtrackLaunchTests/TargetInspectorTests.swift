// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import MemtrackLaunch

private let inspector = TargetInspector(searchPath: "/usr/bin:/bin", userID: 0, groupID: 0)

/// Compiles a C program into the directory; returns its path.
private func compile(
    _ name: String, _ flags: [String], in scratch: Scratch, source: String = "int main(void) { return 0; }\n",
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> String {
    let file = try scratch.file(name + ".c", source)
    let output = scratch.path + "/" + name
    let run = try Running(["gcc", "-o", output, file] + flags, in: scratch)
    #expect(run.end() == .exit(0), "\(run.errors)", sourceLocation: sourceLocation)
    return output
}

private func inspect(_ path: String, _ inspector: TargetInspector = inspector) throws -> TargetInspection {
    try inspector.inspect(RawString(path))
}

@Suite struct InspectedProgramTests {
    @Test func ordinaryProgram() throws {
        let result = try inspect("true")
        #expect(result.path == "/usr/bin/true" && result.chain == ["/usr/bin/true"])
        #expect(result.kind == .dynamicProgram && result.canPreload && result.warnings.isEmpty)
    }

    @Test func staticPrograms() throws {
        let scratch = Scratch()
        let path = try compile("static", ["-static"], in: scratch)
        let result = try inspect(path)
        #expect(result.kind == .staticProgram && !result.canPreload)
        #expect(result.warnings == [.staticallyLinked(path: RawString(path))])
        let pie = try inspect(compile("static-pie", ["-static-pie"], in: scratch))
        #expect(pie.kind == .staticPIE && !pie.canPreload)
    }

    @Test func loaderItselfIsNotTakenForStatic() throws {
        let result = try inspect("/lib64/ld-linux-x86-64.so.2")
        #expect(result.kind == .dynamicLoader && result.canPreload && result.warnings.isEmpty)
    }

    @Test(arguments: [("address", "AddressSanitizer"), ("thread", "ThreadSanitizer")])
    func sanitizers(flag: String, name: String) throws {
        let scratch = Scratch()
        for flags in [[], ["-static-lib\(flag == "address" ? "asan" : "tsan")"]] {
            let path = try compile("sanitized", ["-fsanitize=\(flag)"] + flags, in: scratch)
            let result = try inspect(path)
            #expect(result.warnings == [.sanitizer(path: RawString(path), name: name)])
            #expect(!result.canPreload)
        }
    }

    @Test(arguments: ["malloc", "je_malloc", "_rjem_malloc", "mi_malloc", "tc_malloc"])
    func allocatorsInside(name: String) throws {
        let source = """
            static char arena[4096];
            __attribute__((noinline)) void *\(name)(unsigned long size) { return arena + size % 64; }
            int main(void) { return \(name)(3) == 0; }

            """
        let scratch = Scratch()
        let kept = try compile("own", ["-fno-builtin"], in: scratch, source: source)
        let result = try inspect(kept)
        #expect(result.warnings == [.ownAllocator(path: RawString(kept), functions: [name])])
        #expect(result.canPreload)
    }

    @Test func allocatorThatIsOnlyUsedIsNoWarning() throws {
        let scratch = Scratch()
        let source = "#include <stdlib.h>\nint main(void) { return malloc(5) == 0; }\n"
        #expect(try inspect(compile("user", [], in: scratch, source: source)).warnings.isEmpty)
    }

    @Test func privilegeBitsCountWhereTheyChangeTheIdentity() throws {
        let scratch = Scratch()
        let path = try compile("bits", [], in: scratch)
        let raw = RawString(path)
        let owner = TargetInspector(searchPath: nil, userID: getuid(), groupID: getgid())
        let other = TargetInspector(searchPath: nil, userID: getuid() + 1, groupID: getgid() + 1)
        #expect(try inspect(path, other).warnings.isEmpty)
        #expect(chmod(path, 0o4755) == 0)
        #expect(try inspect(path, owner).canPreload)
        #expect(try inspect(path, other).warnings == [.setUserID(path: raw)])
        #expect(try !inspect(path, other).canPreload)
        #expect(chmod(path, 0o2755) == 0)
        #expect(try inspect(path, other).warnings == [.setGroupID(path: raw)])
        #expect(try inspect(path, owner).canPreload)
        // Without execution by the group the bit stands for mandatory locking.
        #expect(chmod(path, 0o2745) == 0)
        #expect(try inspect(path, other).canPreload)
        #expect(chmod(path, 0o4755) == 0)
        var bound = other
        bound.canGainPrivileges = false
        #expect(try inspect(path, bound).canPreload)
    }

    @Test func goMuslAndForeignPrograms() throws {
        let scratch = Scratch()
        func inspectELF(_ builder: ELFBuilder) throws -> TargetInspection {
            let path = scratch.path + "/crafted"
            try Data(builder.build()).write(to: URL(fileURLWithPath: path))
            chmod(path, 0o755)
            return try inspect(path)
        }
        let path = RawString(scratch.path + "/crafted")
        let loader = try scratch.file("ld-musl-x86_64.so.1", "")
        var builder = ELFBuilder()
        builder.segments = [(3, Array((loader + "\0").utf8))]
        #expect(try inspectELF(builder).warnings == [.musl(path: path, interpreter: RawString(loader))])

        builder.segments = [(4, [4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0] + Array("Go\0\0x\0\0\0".utf8))]
        #expect(try inspectELF(builder).warnings == [.goProgram(path: path, isStatic: true)])
        builder.segments.append((3, Array("/lib64/ld-linux-x86-64.so.2\0".utf8)))
        let cgo = try inspectELF(builder)
        #expect(cgo.warnings == [.goProgram(path: path, isStatic: false)] && cgo.canPreload)

        let arm = try inspectELF(ELFBuilder(machine: 183))
        #expect(arm.warnings == [.otherMachine(path: path, machine: 183)] && arm.kind == .foreignProgram)
        #expect(try inspectELF(ELFBuilder(isBigEndian: true)).kind == .foreignProgram)
        let i386 = try inspectELF(ELFBuilder(is64: false, type: 2, machine: 3))
        #expect(i386.warnings == [.otherWordSize(path: path)] && !i386.canPreload)

        builder.segments = [(3, Array("/no/such/ld.so\0".utf8))]
        #expect(throws: LaunchError.missingInterpreter(path: path, interpreter: "/no/such/ld.so")) {
            try inspectELF(builder)
        }
    }

    @Test func damagedProgram() throws {
        let scratch = Scratch()
        let path = try scratch.file("cut", "\u{7f}ELF")
        let result = try inspect(path)
        #expect(result.kind == .damaged && result.warnings == [.damaged(path: RawString(path))])
    }

    @Test func everyTextIsOneLineThatNamesTheFile() {
        let all: [TargetWarning] = [
            .staticallyLinked(path: "/p"), .goProgram(path: "/p", isStatic: true), .setUserID(path: "/p"),
            .goProgram(path: "/p", isStatic: false), .setGroupID(path: "/p"), .fileCapabilities(path: "/p"),
            .musl(path: "/p", interpreter: "/ld"), .otherWordSize(path: "/p"),
            .otherMachine(path: "/p", machine: 183), .sanitizer(path: "/p", name: "S"),
            .ownAllocator(path: "/p", functions: ["je_malloc"]), .environmentCleared(path: "/p"),
            .emptyFile(path: "/p"), .unreadable(path: "/p"), .damaged(path: "/p"),
        ]
        for warning in all {
            #expect(warning.description.hasPrefix("/p: ") && !warning.description.contains("\n"))
            // What to do, after what and why.
            #expect(warning.description.contains("; "))
        }
        #expect(Set(all.map(\.description)).count == all.count)
    }
}

@Suite struct ScriptTests {
    @Test func interpreterIsFollowed() throws {
        let scratch = Scratch()
        let script = RawString(try scratch.file("script", "#!/bin/sh -e\necho\n"))
        let result = try inspector.inspect(script)
        #expect(result.path == script && result.chain == [script, "/bin/sh"])
        #expect(result.kind == .dynamicProgram && result.canPreload)
    }

    @Test func envAndNestedScripts() throws {
        let scratch = Scratch()
        let inner = try scratch.file("inner", "#!/usr/bin/env -S LC_ALL=C perl -w\n")
        let outer = try scratch.file("outer", "#!\(inner) argument\n")
        let result = try inspect(outer)
        #expect(result.chain == [RawString(outer), RawString(inner), "/usr/bin/env", "/usr/bin/perl"])
        let cleared = try inspect(scratch.file("cleared", "#!/usr/bin/env -S -i perl\n"))
        #expect(!cleared.canPreload)
        // env itself will say that there is no such program.
        let unknown = try inspect(scratch.file("unknown", "#!/usr/bin/env no-such-program\n"))
        #expect(unknown.chain.last == "/usr/bin/env")
    }

    @Test func interpreterDecidesAboutPreloading() throws {
        let scratch = Scratch()
        let interpreter = try compile("static", ["-static"], in: scratch)
        let script = try scratch.file("script", "#!\(interpreter)\n")
        #expect(try inspect(script).warnings == [.staticallyLinked(path: RawString(interpreter))])
    }

    @Test func textWithoutInterpreterIsTheShells() throws {
        let scratch = Scratch()
        let text = RawString(try scratch.file("text", "echo hello\n"))
        #expect(try inspector.inspect(text).chain == [text, "/bin/sh"])
        #expect(try inspector.inspect(text).warnings.isEmpty)
        let empty = RawString(try scratch.file("empty"))
        #expect(try inspector.inspect(empty).warnings == [.emptyFile(path: empty)])
        // A script whose interpreter has no format: the shell gets the script, not the interpreter.
        let odd = RawString(try scratch.file("odd", "#!\(text)\n"))
        #expect(try inspector.inspect(odd).chain == [odd, "/bin/sh"])
    }

    @Test func endlessInterpreters() throws {
        let scratch = Scratch()
        let path = scratch.path + "/self"
        _ = try scratch.file("self", "#!\(path)\n")
        #expect(throws: LaunchError.tooManyInterpreters(path: RawString(path))) { try inspect(path) }
        _ = try scratch.file("self", "#!/usr/bin/env \(path)\n")
        #expect(throws: LaunchError.tooManyInterpreters(path: RawString(path))) { try inspect(path) }
    }

    @Test func interpretersThatCannotRun() throws {
        let scratch = Scratch()
        let missing = RawString(try scratch.file("missing", "#!/no/such\n"))
        #expect(throws: LaunchError.missingInterpreter(path: missing, interpreter: "/no/such")) {
            try inspector.inspect(missing)
        }
        let directory = RawString(try scratch.file("directory", "#!/etc\n"))
        #expect(throws: LaunchError.isDirectory(path: "/etc")) { try inspector.inspect(directory) }
    }
}

@Suite struct SearchTests {
    @Test func firstExecutableOfPathWins() throws {
        let scratch = Scratch()
        for directory in ["a", "b", "c"] { mkdir(scratch.path + "/" + directory, 0o755) }
        _ = try scratch.file("a/tool", "x", mode: 0o644)
        mkdir(scratch.path + "/b/tool", 0o755)
        let tool = try scratch.file("c/tool", "#!/bin/sh\n")
        let directories = ["none", "a", "b", "c"].map { scratch.path + "/" + $0 }
        func search(_ directories: [String], _ name: RawString) throws -> RawString {
            let path = RawString(directories.joined(separator: ":"))
            return try TargetInspector(searchPath: path, userID: 0, groupID: 0).resolve(name)
        }
        #expect(try search(directories, "tool") == RawString(tool))
        // What was found first but could not be run is what is reported, as execvp does.
        #expect(throws: LaunchError.notExecutable(path: RawString(scratch.path + "/a/tool"))) {
            try search(Array(directories.dropLast()), "tool")
        }
        #expect(throws: LaunchError.notFound(program: "other", searchedPATH: true)) {
            try search(directories, "other")
        }
        #expect(throws: LaunchError.notFound(program: "./other", searchedPATH: false)) {
            try search(directories, "./other")
        }
        #expect(throws: LaunchError.notFound(program: "", searchedPATH: false)) {
            try search(directories, "")
        }
        #expect(try TargetInspector(searchPath: nil, userID: 0, groupID: 0).resolve("sh") == "/bin/sh")
    }

    @Test func exitCodesAreThoseOfEnv() {
        #expect(LaunchError.notFound(program: "x", searchedPATH: true).exitCode == 127)
        #expect(LaunchError.missingInterpreter(path: "x", interpreter: "y").exitCode == 127)
        #expect(LaunchError.isDirectory(path: "x").exitCode == 126)
        #expect(LaunchError.cannotStart(path: "x", code: ENOENT).exitCode == 127)
        #expect(LaunchError.cannotStart(path: "x", code: E2BIG).exitCode == 126)
        #expect(LaunchError.libraryPathNotAbsolute(path: "x").exitCode == 125)
    }
}
