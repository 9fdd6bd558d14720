// SPDX-License-Identifier: Apache-2.0

import Foundation
import MemtrackSymbols
import Testing

private func build(_ line: String, in workshop: Workshop) throws -> CodeFile {
    try workshop.write("c.c", cSource)
    try workshop.write("cpp.cpp", cppSource)
    try workshop.write("main.swift", swiftSource)
    try workshop.run(line)
    return CodeFile(path: workshop.path("program"), buildID: [])
}

/// "function line" of every frame, for each address of a function.
private func chains(of function: String, in file: CodeFile, symbolFile: String? = nil) throws -> [[String]] {
    let symbols = try functionSymbols(of: symbolFile ?? file.path)
    let symbol = try #require(symbols.first { $0.name == function })
    let symbolizer = Symbolizer()
    return (0..<symbol.size).map { offset in
        symbolizer.frames(in: file, address: symbol.start + offset).map {
            "\($0.function ?? "?") \($0.file?.split(separator: "/").last ?? "?"):\($0.line ?? 0)"
                + ($0.isInlined ? " inlined" : "")
        }
    }
}

private func line(of text: String, in source: String) -> Int {
    let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
    return (lines.firstIndex { $0.contains(text) } ?? -1) + 1
}

@Suite struct SymbolizerTests {
    @Test(
        "inlined C calls", .enabled(if: hasTool("gcc"), "no gcc"),
        arguments: ["-g", "-gdwarf-4", "-g -gz", "-g -gsplit-dwarf", "-gdwarf-4 -gsplit-dwarf"])
    func inlinedCalls(flags: String) throws {
        let workshop = try Workshop()
        let file = try build("gcc -O2 \(flags) c.c -o program", in: workshop)
        let found = try chains(of: "build", in: file)
        let call = "build c.c:\(line(of: "list = make_node", in: cSource))"
        let take = "take c.c:\(line(of: "return malloc", in: cSource)) inlined"
        let node = "make_node c.c:\(line(of: "= take(", in: cSource)) inlined"
        #expect(found.contains([take, node, call]))
        #expect(found.contains(["make_node c.c:\(line(of: "node->value =", in: cSource)) inlined", call]))
        #expect(found.contains(["build c.c:\(line(of: "for (int i", in: cSource))"]))
        #expect(Symbolizer().note(for: file) == nil)
    }

    @Test("clang's split units say what whole ones say", .enabled(if: hasTool("clang"), "no clang"))
    func clangSplitUnits() throws {
        let whole = try Workshop()
        let split = try Workshop()
        let wholeFile = try build("clang -O2 -g c.c -o program", in: whole)
        for workshop in [split] {
            _ = try build("clang -O2 -g -gsplit-dwarf -c c.c -o program.o", in: workshop)
        }
        try split.run("clang program.o -o program")
        let splitFile = CodeFile(path: split.path("program"), buildID: [])
        for function in ["build", "total", "main"] {
            let chains = try chains(of: function, in: wholeFile)
            #expect(try MemtrackSymbolsTests.chains(of: function, in: splitFile) == chains)
            #expect(chains.contains { !($0.first?.contains("?") ?? true) })
        }
        // Without the .dwo file the skeleton still tells the lines.
        try split.run("rm program.dwo")
        let bare = try MemtrackSymbolsTests.chains(of: "total", in: splitFile)
        #expect(bare.contains(["total c.c:\(line(of: "sum += list->value", in: cSource))"]))
    }

    @Test("C++ names", .enabled(if: hasTool("g++"), "no g++"), arguments: ["-O0 -g", "-O1 -g"])
    func cppNames(flags: String) throws {
        let workshop = try Workshop()
        let file = try build("g++ \(flags) cpp.cpp -o program", in: workshop)
        let symbolizer = Symbolizer()
        func name(_ symbol: String) throws -> String? {
            let start = try #require(try functionSymbols(of: file.path).first { $0.name.hasPrefix(symbol) })
                .start
            return symbolizer.frames(in: file, address: start).last?.function
        }
        #expect(try name("plain_c") == "plain_c")
        #expect(try name("_ZL10local_onlyi") == "local_only(int)")
        #expect(try name("_ZNK4shop5Order4costEi") == "shop::Order::cost(int) const")
        #expect(
            try name("_ZN4shop12_GLOBAL__N_15Clerk5serveEi")
                == "shop::(anonymous namespace)::Clerk::serve(int)")
        #expect(try name("_ZZ4mainEN5Local5twiceEi") == "main::Local::twice(int)")
        #expect(try name("main") == "main")
        // Without symbols the debug information still has the names.
        let starts = try [
            "_ZL10local_onlyi", "_ZN4shop12_GLOBAL__N_15Clerk5serveEi", "_ZZ4mainEN5Local5twiceEi",
        ]
        .map { try address(of: $0, in: file.path) }
        try workshop.run("objcopy --remove-section=.symtab --remove-section=.strtab program bare")
        let bare = CodeFile(path: workshop.path("bare"), buildID: [])
        #expect(
            starts.map { symbolizer.frames(in: bare, address: $0).last?.function } == [
                "local_only(int)", "shop::(anonymous namespace)::Clerk::serve(int)",
                "main::Local::twice(int)",
            ])
    }

    @Test(
        "names without a linkage name are put together from their scopes",
        .enabled(if: hasTool("g++"), "no g++"))
    func qualifiedNames() throws {
        let workshop = try Workshop()
        let file = try build("g++ -O2 -g cpp.cpp -o program", in: workshop)
        // g++ gives no linkage name to instances for a lambda, and inlines them here.
        let symbolizer = Symbolizer()
        let names = Set(
            try functionSymbols(of: file.path).flatMap { symbol in
                (0..<symbol.size).flatMap { symbolizer.frames(in: file, address: symbol.start + $0) }
                    .filter(\.isInlined).compactMap(\.function)
            })
        #expect(names.contains { $0.hasPrefix("std::__unguarded_linear_insert<") && !$0.hasSuffix(")") })
        #expect(names.contains("main()::{lambda}::operator()"))
    }

    @Test("Swift names", .enabled(if: hasTool("swiftc"), "no swiftc"))
    func swiftNames() throws {
        let workshop = try Workshop()
        let file = try build("swiftc -g main.swift -o program", in: workshop)
        let fill = try #require(try functionSymbols(of: file.path).first { $0.name.contains("4fill") })
        let line = line(of: "for index", in: swiftSource)
        #expect(
            try chains(of: fill.name, in: file).contains {
                $0.last?.hasSuffix(".fill(_: program.Crate, count: Swift.Int) -> () main.swift:\(line)")
                    == true
            })
    }

    @Test("Rust names", .enabled(if: hasTool("rustc"), "no rustc"), arguments: ["legacy", "v0"])
    func rustNames(mangling: String) throws {
        let workshop = try Workshop()
        try workshop.write(
            "program.rs",
            """
            mod shelf { #[inline(never)] pub fn put(v: &mut Vec<usize>, x: usize) {
                v.push(x);
            } }
            fn main() {
                let mut v = Vec::new();
                shelf::put(&mut v, std::env::args().count());
                println!("{}", v.len());
            }
            """)
        // Legacy is the default; to ask for it by name takes a nightly compiler.
        let option = mangling == "v0" ? " -Csymbol-mangling-version=v0" : ""
        try workshop.run("rustc -g -Copt-level=1\(option) program.rs")
        let file = CodeFile(path: workshop.path("program"), buildID: [])
        let symbol = try #require(
            try functionSymbols(of: file.path).first { $0.name.contains("shelf") && $0.name.contains("put") })
        let frames = Symbolizer().frames(in: file, address: symbol.start)
        #expect(frames.last?.function == "program::shelf::put")
        #expect(frames.last?.file?.hasSuffix("/program.rs") == true)
    }

    @Test("debug information apart", .enabled(if: hasTool("gcc"), "no gcc"))
    func separateDebugFile() throws {
        let workshop = try Workshop()
        let file = try build("gcc -O2 -g -Wl,--build-id=sha1 c.c -o program", in: workshop)
        let expected = try chains(of: "build", in: file)
        try workshop.run("cp program full")
        try workshop.run("objcopy --only-keep-debug program apart.dbg")
        try workshop.run("strip program")
        let full = workshop.path("full")
        #expect(try chains(of: "build", in: file, symbolFile: full) != expected)
        #expect(Symbolizer().note(for: file)?.contains("stripped") == true)

        // 1. a link, 2. a build-id directory
        try workshop.run("cp program linked")
        try workshop.run("objcopy --add-gnu-debuglink=apart.dbg linked")
        let linked = CodeFile(path: workshop.path("linked"), buildID: [])
        #expect(try chains(of: "build", in: linked, symbolFile: full) == expected)
        #expect(Symbolizer().note(for: linked) == nil)
        let id = try buildID(of: full)
        try workshop.run("mkdir -p dbg/.build-id/\(id.prefix(2))")
        try workshop.run("mv apart.dbg dbg/.build-id/\(id.prefix(2))/\(id.dropFirst(2)).debug")
        let symbolizer = Symbolizer(options: SymbolizerOptions(debugDirectories: [workshop.path("dbg")]))
        let start = try address(of: "total", in: full)
        #expect(
            symbolizer.frames(in: file, address: start).first?.line == line(of: "total(struct", in: cSource)
                + 2)
        let without = Symbolizer(
            options: SymbolizerOptions(useDebugInfo: false, debugDirectories: [workshop.path("dbg")]))
        #expect(without.frames(in: file, address: start) == [])
    }

    @Test("symbol tables alone", .enabled(if: hasTool("gcc"), "no gcc"))
    func symbolTables() throws {
        let workshop = try Workshop()
        let file = try build("gcc -O2 c.c -shared -fPIC -o program", in: workshop)
        let symbolizer = Symbolizer()
        let total = try address(of: "total", in: file.path)
        let build = try address(of: "build", in: file.path)
        #expect(symbolizer.frames(in: file, address: total) == [SourceFrame(function: "total")])
        #expect(symbolizer.note(for: file) == nil)
        try workshop.run("strip program -o stripped")
        let stripped = CodeFile(path: workshop.path("stripped"), buildID: [])
        #expect(symbolizer.frames(in: stripped, address: build) == [SourceFrame(function: "build")])
        #expect(symbolizer.frames(in: stripped, address: total) == [])
        #expect(symbolizer.note(for: stripped)?.contains("only the names it exports") == true)
        #expect(symbolizer.frames(in: stripped, address: 0) == [])
        #expect(symbolizer.frames(in: stripped, address: .max) == [])
    }

    @Test("symbols without a size", .enabled(if: hasTool("gcc"), "no gcc"))
    func symbolsWithoutSize() throws {
        let workshop = try Workshop()
        try workshop.write(
            "a.s",
            """
            .text
            .globl first
            first: nop
            nop
            .type sized, @function
            sized: nop
            inner: nop
            .size sized, .-sized
            nop
            last: nop
            nop
            .section .note.GNU-stack,""
            """)
        try workshop.run("gcc -shared -nostdlib a.s -o program")
        let file = CodeFile(path: workshop.path("program"), buildID: [])
        let text = try runCommand(["nm", file.path], in: workshop.directory)
        let line = try #require(text.split(separator: "\n").first { $0.hasSuffix(" first") })
        let start = try #require(UInt64(line.prefix(16), radix: 16))
        let symbolizer = Symbolizer()
        let names = (0..<7).map { symbolizer.frames(in: file, address: start + $0).first?.function }
        #expect(names == ["first", "first", "sized", "sized", "inner", "last", "last"])
    }

    @Test("another build", .enabled(if: hasTool("gcc"), "no gcc"))
    func otherBuild() throws {
        let workshop = try Workshop()
        let file = try build("gcc -g -Wl,--build-id=sha1 c.c -o program", in: workshop)
        let id = try buildID(of: file.path)
        let bytes = stride(from: 0, to: id.count, by: 2).compactMap { offset in
            UInt8(id.dropFirst(offset).prefix(2), radix: 16)
        }
        let main = try address(of: "main", in: file.path)
        let symbolizer = Symbolizer()
        let right = CodeFile(path: file.path, buildID: bytes)
        #expect(symbolizer.frames(in: right, address: main).first?.function == "main")
        #expect(symbolizer.note(for: right) == nil)
        let wrong = CodeFile(path: file.path, buildID: bytes.reversed())
        #expect(symbolizer.frames(in: wrong, address: main) == [])
        #expect(symbolizer.note(for: wrong)?.contains("another build") == true)
    }

    @Test func filesThatCannotBeRead() throws {
        let workshop = try Workshop()
        try workshop.run("mkfifo fifo")
        try workshop.write("text", "#!/bin/sh\necho this is no ELF file\n")
        try workshop.write("empty", "")
        let symbolizer = Symbolizer()
        func note(_ path: String) -> String? {
            let file = CodeFile(path: path, buildID: [1, 2])
            #expect(symbolizer.frames(in: file, address: 0x1000) == [])
            return symbolizer.note(for: file)
        }
        for silent in ["linux-vdso.so.1", "[vdso]", "[heap]"] { #expect(note(silent) == nil) }
        #expect(note("/usr/lib/gone.so (deleted)")?.contains("deleted") == true)
        #expect(note(workshop.path("missing"))?.contains("No such file") == true)
        #expect(note("")?.contains("No such file") == true)
        #expect(note(workshop.path("fifo"))?.contains("not a regular file") == true)
        #expect(note("/dev/zero")?.contains("not a regular file") == true)
        #expect(note(workshop.directory)?.contains("not a regular file") == true)
        #expect(note(workshop.path("text"))?.contains("not an ELF file") == true)
        #expect(note(workshop.path("empty"))?.contains("not an ELF file") == true)
    }
}

private func buildID(of file: String) throws -> String {
    let text = try runCommand(["readelf", "-n", file], in: NSTemporaryDirectory())
    let line = try #require(text.split(separator: "\n").first { $0.contains("Build ID:") })
    return String(line.split(separator: " ").last ?? "")
}
