// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Why a program cannot be started. `description` is one line: what, why, and what to do.
public enum LaunchError: Error, Sendable, Hashable {
    /// No such file, in the path given or in any directory of `PATH`.
    case notFound(program: RawString, searchedPATH: Bool)
    case isDirectory(path: RawString)
    /// There, but without the right to execute it.
    case notExecutable(path: RawString)
    /// The file is there; the program that its first line, or its ELF header, asks for is not.
    case missingInterpreter(path: RawString, interpreter: RawString)
    /// Scripts whose interpreters are scripts, deeper than the kernel goes.
    case tooManyInterpreters(path: RawString)
    /// exec or fork failed.
    case cannotStart(path: RawString, code: Int32)
    /// Another program is being watched by this process.
    case alreadyWatching
    /// A process that was there before cannot be watched.
    case cannotAttach(pid: Int32, code: Int32)
    /// The wait for the target failed.
    case cannotWait(pid: Int32, code: Int32)
    /// The preload library must be named so that the loader finds it from any working directory.
    case libraryPathNotAbsolute(path: String)
    /// `LD_PRELOAD` cannot express the path of the library, nor that of the link made for it.
    case libraryPathNotUsable(path: String, link: String)
    case cannotLinkLibrary(path: String, link: String, code: Int32)

    /// Exit status of the launcher, as env(1): 127 for not found, 126 for found but not startable, 125 for a
    /// failure of the launcher itself.
    public var exitCode: Int32 {
        switch self {
        case .notFound, .missingInterpreter: 127
        case .isDirectory, .notExecutable, .tooManyInterpreters: 126
        case .cannotStart(_, let code): code == ENOENT ? 127 : 126
        case .alreadyWatching, .cannotAttach, .cannotWait: 125
        case .libraryPathNotAbsolute, .libraryPathNotUsable, .cannotLinkLibrary: 125
        }
    }
}

extension LaunchError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let program, searchedPATH: true):
            "\(program): not found in any directory of PATH; check the name, or give the path of the program"
        case .notFound(let program, searchedPATH: false):
            program.bytes.isEmpty
                ? "the name of the program is empty; check what it was made of"
                : "\(program): no such file; check the path"
        case .isDirectory(let path):
            "\(path): is a directory, not a program; name the program in it"
        case .notExecutable(let path):
            "\(path): permission denied; make it executable with 'chmod +x', or run it through its interpreter"
        case .missingInterpreter(let path, let interpreter):
            "\(path): its interpreter \(interpreter) does not exist; install it, or correct the path in the file"
        case .tooManyInterpreters(let path):
            "\(path): more than \(TargetInspector.interpreterLimit) scripts are each other's interpreter;"
                + " correct their first lines"
        case .cannotStart(let path, let code):
            "\(path): cannot be started: \(String(cString: strerror(code)))"
        case .alreadyWatching:
            "a target is already being watched; one launcher watches one program"
        case .cannotAttach(let pid, let code):
            code == ESRCH
                ? "no process has the PID \(pid); memtrack list shows what there is"
                : "process \(pid): cannot be watched: \(String(cString: strerror(code)))"
        case .cannotWait(let pid, let code):
            "process \(pid): cannot be waited for: \(String(cString: strerror(code)))"
        case .libraryPathNotAbsolute(let path):
            "\(path): the path of the preload library is not absolute; give the full path"
        case .libraryPathNotUsable(let path, let link):
            "\(path): LD_PRELOAD cannot hold a path with a blank, a colon or a dollar sign, and neither can"
                + " \(link), made to stand for it; install the library elsewhere"
        case .cannotLinkLibrary(let path, let link, let code):
            "\(path): LD_PRELOAD cannot hold a path with a blank, a colon or a dollar sign, and a link \(link)"
                + " cannot be made: \(String(cString: strerror(code))); install the library elsewhere"
        }
    }
}
