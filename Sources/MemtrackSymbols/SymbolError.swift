// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Why a file gives no symbols, or fewer than it could. Never fatal: frames without names remain.
enum SymbolError: Error, CustomStringConvertible {
    case deleted(path: String)
    case cannotOpen(path: String, errno: Int32)
    case notRegular(path: String)
    case notELF(path: String)
    case notLoadable(path: String)
    case damaged(path: String, reason: String)
    case otherBuild(path: String, mapped: [UInt8], onDisk: [UInt8])
    case stripped(path: String, namesExported: Bool)

    var description: String {
        switch self {
        case .deleted(let path):
            "\(path): no symbols, the file was deleted or replaced after the program mapped it; "
                + "start the program again to profile the new file"
        case .cannotOpen(let path, let code):
            "\(path): no symbols, cannot open it: \(String(cString: strerror(code)))"
                + (code == ENOENT ? "; it may lie in another container or have been replaced" : "")
        case .notRegular(let path):
            "\(path): no symbols, it is not a regular file"
        case .notELF(let path):
            "\(path): no symbols, it is not an ELF file"
        case .notLoadable(let path):
            "\(path): no symbols, it is neither an executable nor a shared library"
        case .damaged(let path, let reason):
            "\(path): no symbols, damaged ELF file: \(reason)"
        case .otherBuild(let path, let mapped, let onDisk):
            "\(path): no symbols, the file on disk is another build (build id \(hex(onDisk))) than the one "
                + "that the program mapped (\(hex(mapped))); put that build back, or start the program again"
        case .stripped(let path, let namesExported):
            "\(path): stripped, "
                + (namesExported ? "only the names it exports are known" : "it names no function")
                + "; install its debug symbols, or set DEBUGINFOD_URLS"
        }
    }
}

private func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
        decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
