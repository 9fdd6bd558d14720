// SPDX-License-Identifier: Apache-2.0

import Foundation
import MemtrackSymbols
import Testing

/// What we say of hundreds of addresses, against two other readers of the same formats: binutils'
/// addr2line and LLVM's llvm-symbolizer (which comes with the Swift toolchain).
///
/// An answer must equal one of the two, frame by frame. Neither alone is right: addr2line 2.40 knows no split
/// DWARF 5, mixes up files 0 and 1 of DWARF 5 line tables, and loses inlined frames of discontiguous
/// functions; llvm-symbolizer lets the symbol table overrule the debug information.
@Suite(.enabled(if: hasTool("addr2line") && hasTool("llvm-symbolizer"), "no addr2line or llvm-symbolizer"))
struct OracleTests {
    struct Build: Sendable, CustomTestStringConvertible {
        var compiler: String
        var source: String
        var flags: [String]
        var testDescription: String { "\(compiler) \(flags.joined(separator: " ")) \(source)" }

        init(_ compiler: String, _ source: String, _ flags: String) {
            self.compiler = compiler
            self.source = source
            self.flags = flags.split(separator: " ").map(String.init)
        }
    }

    static let builds = [
        Build("gcc", "c.c", "-O0 -g"), Build("gcc", "c.c", "-O2 -g"), Build("gcc", "c.c", "-O2 -gdwarf-4"),
        Build("gcc", "c.c", "-O2 -g -gz"), Build("gcc", "c.c", "-O2 -g -gsplit-dwarf"),
        Build("gcc", "c.c", "-O2 -gdwarf-4 -gsplit-dwarf"), Build("gcc", "c.c", "-O2 -g -no-pie"),
        Build("g++", "cpp.cpp", "-O0 -g"), Build("g++", "cpp.cpp", "-O2 -g"),
        Build("g++", "cpp.cpp", "-O2 -gdwarf-4"), Build("g++", "cpp.cpp", "-O2 -g -gsplit-dwarf"),
        Build("g++", "cpp.cpp", "-O2 -g -flto"),
        Build("g++", "cpp.cpp", "-O3 -g -ffunction-sections -Wl,--gc-sections"),
        Build("clang", "c.c", "-O2 -g"), Build("clang", "c.c", "-O2 -gdwarf-4"),
        Build("clang++", "cpp.cpp", "-O0 -g"), Build("clang++", "cpp.cpp", "-O2 -g"),
        Build("clang++", "cpp.cpp", "-O2 -gdwarf-5 -gz"), Build("swiftc", "main.swift", "-g"),
        Build("swiftc", "main.swift", "-O -g"),
    ]

    @Test("same answers as addr2line", arguments: builds)
    func sameAnswers(_ build: Build) throws {
        if !hasTool(build.compiler) { try Test.cancel("no \(build.compiler)") }
        let workshop = try Workshop()
        try workshop.write("c.c", cSource)
        try workshop.write("cpp.cpp", cppSource)
        try workshop.write("main.swift", swiftSource)
        if build.compiler == "swiftc" {
            try workshop.run(["swiftc", build.source, "-o", "program"] + build.flags)
        } else {
            // In two steps: in one, clang names the .dwo file after a temporary one.
            try workshop.run([build.compiler, "-c", build.source, "-o", "program.o"] + build.flags)
            try workshop.run([build.compiler, "program.o", "-o", "program"] + build.flags)
        }
        try compare(workshop.path("program"), count: 600)
    }

    /// Any file the machine has: `MEMTRACK_ORACLE_FILES=/path/a:/path/b swift test --filter OracleTests`.
    @Test(
        "same answers for given files",
        arguments: (ProcessInfo.processInfo.environment["MEMTRACK_ORACLE_FILES"]
            ?? "/usr/lib/x86_64-linux-gnu/libasan.so.8.0.0")
            .split(separator: ":").map(String.init).filter { FileManager.default.fileExists(atPath: $0) })
    func givenFiles(_ file: String) throws {
        try compare(file, count: 1000)
    }

    private func compare(_ file: String, count: Int) throws {
        let addresses = try sampledAddresses(of: file, count: count)
        let binutils = try addr2line(file, addresses)
        let llvm = try llvmSymbolizer(file, addresses)
        let names = try FunctionNames(file)
        try #require(binutils.count == addresses.count && llvm.count == addresses.count)
        let symbolizer = Symbolizer()
        let code = CodeFile(path: file, buildID: [])
        var outvoted: [String] = []
        var unlikeBinutils = 0
        var unlikeLLVM = 0
        for (index, address) in addresses.enumerated() {
            let ours = symbolizer.frames(in: code, address: address)
            let first = difference(ours, binutils[index], names)
            let second = difference(ours, llvm[index], names)
            if first != nil { unlikeBinutils += 1 }
            if second != nil { unlikeLLVM += 1 }
            if let first, let second {
                outvoted.append("0x\(String(address, radix: 16)): binutils: \(first)\n    llvm: \(second)")
            }
        }
        let known = llvm.count { $0.first?.line != nil }
        print(
            "\(file): \(addresses.count) addresses, \(known) with a line; \(unlikeBinutils) unlike binutils,",
            "\(unlikeLLVM) unlike llvm, \(outvoted.count) unlike both")
        #expect(known > 0, "the oracle itself knows too little")
        #expect(outvoted.isEmpty, "\(outvoted.prefix(20).joined(separator: "\n"))")
    }
}

struct OracleFrame: Equatable {
    var function: String?
    var file: String?
    var line: Int?
}

/// addr2line's frames for each address.
func addr2line(_ file: String, _ addresses: [UInt64]) throws -> [[OracleFrame]] {
    let input = addresses.map { String($0, radix: 16) }.joined(separator: "\n") + "\n"
    // -r: without it names of more than 1,024 characters stay mangled.
    let text = try runCommand(
        ["addr2line", "-a", "-f", "-i", "-C", "-r", "-e", file], in: NSTemporaryDirectory(), input: input)
    var result: [[OracleFrame]] = []
    var function: String?
    for line in text.split(separator: "\n") {
        if line.hasPrefix("0x"), function == nil {
            result.append([])
        } else if let name = function {
            // "file:12 (discriminator 3)"
            let place = line.prefix { $0 != "(" }.trimmingCharacters(in: .whitespaces)
            let colon = place.lastIndex(of: ":") ?? place.endIndex
            let path = String(place[..<colon])
            result[result.count - 1].append(
                OracleFrame(
                    function: name == "??" ? nil : name, file: path == "??" ? nil : path,
                    line: Int(place[colon...].dropFirst()).flatMap { $0 > 0 ? $0 : nil }))
            function = nil
        } else {
            function = String(line)
        }
    }
    return result
}

/// llvm-symbolizer's frames for each address, with linkage names that we demangle (its own demangler
/// spaces otherwise).
func llvmSymbolizer(_ file: String, _ addresses: [UInt64]) throws -> [[OracleFrame]] {
    struct Answer: Decodable {
        struct Symbol: Decodable {
            var function: String
            var file: String
            var line: Int
            enum CodingKeys: String, CodingKey {
                case function = "FunctionName"
                case file = "FileName"
                case line = "Line"
            }
        }
        var symbols: [Symbol]?
        enum CodingKeys: String, CodingKey { case symbols = "Symbol" }
    }
    let input = addresses.map { "0x" + String($0, radix: 16) }.joined(separator: "\n") + "\n"
    let text = try runCommand(
        ["llvm-symbolizer", "--output-style=JSON", "--no-demangle", "--inlines", "-e", file],
        in: NSTemporaryDirectory(), input: input)
    return try text.split(separator: "\n").map { line in
        (try JSONDecoder().decode(Answer.self, from: Data(line.utf8)).symbols ?? []).map {
            OracleFrame(
                function: $0.function.isEmpty ? nil : $0.function,
                file: $0.file.isEmpty ? nil : $0.file, line: $0.line > 0 ? $0.line : nil)
        }
    }
}

/// What differs, nil if nothing. Accepted, because ours says more: binutils prints the bare name of a
/// function that has no linkage name.
func difference(_ ours: [SourceFrame], _ oracle: [OracleFrame], _ names: FunctionNames) -> String? {
    let frames = ours.isEmpty ? [SourceFrame(function: nil)] : ours
    let mine = frames.map { OracleFrame(function: $0.function, file: $0.file, line: $0.line) }
    for (depth, (left, right)) in zip(mine, oracle).enumerated() {
        let same =
            left.line == right.line && samePath(left, right) && names.same(left.function, right.function)
        if !same {
            return "frame \(depth) of \(mine.count)/\(oracle.count): \(brief(left)) != \(brief(right))"
        }
    }
    return mine.count == oracle.count ? nil : "\(mine.count) frames, not \(oracle.count)"
}

private func brief(_ frame: OracleFrame) -> String {
    let file = frame.file?.split(separator: "/").last ?? "?"
    return "\((frame.function ?? "?").prefix(70)) \(file):\(frame.line ?? 0)"
}

/// Without a line table binutils tells the file's name from the symbol table; we leave that out.
private func samePath(_ ours: OracleFrame, _ oracle: OracleFrame) -> Bool {
    standard(ours.file) == standard(oracle.file) || (ours.file == nil && oracle.line == nil)
}

private func standard(_ path: String?) -> String? {
    path.map { NSString(string: $0).standardizingPath }
}

/// When two names mean one function.
struct FunctionNames {
    private var addresses: [String: UInt64] = [:]

    init(_ file: String) throws {
        for symbol in try functionSymbols(of: file) { addresses[demangle(symbol.name)] = symbol.start }
    }

    func same(_ ours: String?, _ oracle: String?) -> Bool {
        guard let ours, let oracle else { return ours == oracle }
        let readable = demangle(oracle)
        if ours == readable || ours.hasSuffix("::" + oracle) { return true }
        // Two names of one address.
        if let address = addresses[ours], address == addresses[readable] { return true }
        // LLVM lets the symbol of a clone, "f.isra.0", stand for the function that it was made from.
        return ours == demangle(oracle.replacing(/(\.(cold|isra|part|constprop)(\.\d+)?)+$/, with: ""))
    }
}
