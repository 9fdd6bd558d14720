// SPDX-License-Identifier: Apache-2.0
import Foundation

/// gzip by another program: python3's.
enum Gzipped {
    static func plain(_ bytes: [UInt8]) throws -> [UInt8] {
        try run("import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))", bytes)
    }

    static func zeros(megabytes: Int) throws -> [UInt8] {
        try run("import gzip,sys; sys.stdout.buffer.write(gzip.compress(bytes(\(megabytes) << 20)))", [])
    }

    private static func run(_ script: String, _ input: [UInt8]) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script]
        let (source, sink) = (Pipe(), Pipe())
        process.standardInput = source
        process.standardOutput = sink
        try process.run()
        source.fileHandleForWriting.write(Data(input))
        try source.fileHandleForWriting.close()
        let output = sink.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Array(output)
    }
}
