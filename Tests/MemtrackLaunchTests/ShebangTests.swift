// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import MemtrackLaunch

@Suite struct ShebangTests {
    private func parse(_ text: String) -> [String?]? {
        Shebang(Array(text.utf8.prefix(256))).map { [$0.interpreter.description, $0.argument?.description] }
    }

    @Test func firstLineAsTheKernelReadsIt() {
        #expect(parse("#!/bin/sh\nx") == ["/bin/sh", nil])
        #expect(parse("#! \t/bin/sh  -e x  \t\nx") == ["/bin/sh", "-e x"])
        #expect(parse("#!/bin/sh") == ["/bin/sh", nil])
        #expect(parse("#!/bin/sh\r\n") == ["/bin/sh\r", nil])
        #expect(parse("#!/usr/bin/env python3\n") == ["/usr/bin/env", "python3"])
    }

    @Test func whatIsNoScript() {
        for text in ["", "#", "#!", "#!\n", "#!   \n/bin/sh", "# !/bin/sh\n", "x#!/bin/sh\n"] {
            #expect(parse(text) == nil)
        }
        // A name cut off by the window could be another program's.
        #expect(parse("#!/" + String(repeating: "a", count: 300)) == nil)
        #expect(parse("#!/a " + String(repeating: "b", count: 300))?.first == "/a")
    }

    @Test func everyTruncationParses() {
        let bytes = Array("#! /usr/bin/env -S A=1 x\n".utf8)
        for length in 0..<bytes.count { _ = Shebang(Array(bytes[..<length])) }
    }

    @Test(arguments: [
        ("python3", "python3"), ("python3 -u", "python3 -u"), ("-S python3 -u", "python3"),
        ("-Spython3 -u", "python3"), ("-vS python3", "python3"), ("-S A=1 B='x y' perl -w", "perl"),
        ("-S -u HOME -C /tmp ruby", "ruby"), ("--split-string=node --x", "node"),
        ("-S 'my prog' x", "my prog"), ("-S --unset HOME -- php", "php"),
    ])
    func programThatEnvStarts(argument: String, program: String) {
        #expect(EnvCommand(RawString(argument))?.program.description == program)
        #expect(EnvCommand(RawString(argument))?.clearsEnvironment == false)
    }

    @Test func clearedEnvironmentIsSeen() {
        #expect(EnvCommand("-S -i PATH=/bin sh")?.clearsEnvironment == true)
        #expect(EnvCommand("-iS sh")?.clearsEnvironment == true)
        #expect(EnvCommand("-S - sh")?.clearsEnvironment == true)
    }

    @Test(arguments: ["-S", "-i", "", "-S A=1", "-u", "-S 'unclosed", "--"])
    func oddArgumentsDoNotTrap(argument: String) {
        _ = EnvCommand(RawString(argument))
    }
}
