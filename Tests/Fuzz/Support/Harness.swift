// SPDX-License-Identifier: Apache-2.0
import Glibc

/// What the harnesses share: libFuzzer's main, and what no report may hold whatever it was made of.
public enum Harness {
    nonisolated(unsafe) private static var body: (UnsafeRawBufferPointer) -> Void = { _ in }

    /// Runs `body` on one input after the other; the arguments are libFuzzer's.
    public static func drive(_ body: @escaping (UnsafeRawBufferPointer) -> Void) -> Never {
        Self.body = body
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        let status = runDriver(&count, &arguments) { start, bytes in
            Harness.body(UnsafeRawBufferPointer(start: start, count: bytes))
            return 0
        }
        exit(status)
    }

    /// One input in `count`, by its contents: libFuzzer runs the same one again and must find the same.
    public static func isChosen(_ input: UnsafeRawBufferPointer, oneIn count: UInt32) -> Bool {
        var hash: UInt32 = 2_166_136_261
        for byte in input { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return (hash >> 8) % count == 0
    }

    /// What comes from the file must not command the terminal.
    public static func expectPlainText(_ text: String) {
        for byte in text.utf8 where byte < 0x20 && byte != 0x0a || byte == 0x7f {
            fatalError("a control character, \(byte), in the report")
        }
    }
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutableRawPointer,
    _ run: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
