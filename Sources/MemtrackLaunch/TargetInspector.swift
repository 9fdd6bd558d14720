// SPDX-License-Identifier: Apache-2.0

import CMemtrackSpawn
import Glibc

/// Finds a program as execvp(3) does, and looks at its file before it is started.
public struct TargetInspector: Sendable {
    /// The kernel follows this many interpreters of interpreters (execve(2), ELOOP).
    static let interpreterLimit = 5

    /// Value of `PATH` for the search; nil where it is not set.
    var searchPath: RawString?
    /// Real ids of the user who starts the target: exec gains privileges only where it changes these.
    var userID: UInt32
    var groupID: UInt32
    var canGainPrivileges: Bool
    /// ELF machine of the preload library.
    var machine: UInt16 = ELFFile.machineAMD64

    public init(environment: Environment) {
        self.init(
            searchPath: environment["PATH"], userID: getuid(), groupID: getgid(),
            canGainPrivileges: !memtrack_spawn_no_new_privileges())
    }

    init(searchPath: RawString?, userID: UInt32, groupID: UInt32, canGainPrivileges: Bool = true) {
        self.searchPath = searchPath
        self.userID = userID
        self.groupID = groupID
        self.canGainPrivileges = canGainPrivileges
    }

    /// Where the program is: a name with a slash stands for itself, any other is searched for in `PATH`.
    public func resolve(_ program: RawString) throws(LaunchError) -> RawString {
        if program.isEmpty { throw .notFound(program: program, searchedPATH: false) }
        if program.contains("/") {
            try checkExecutable(program, isSearched: false)
            return program
        }
        var refusal: LaunchError?
        // The default is that of execvp(3); an empty element is the working directory.
        let directories = (searchPath ?? "/bin:/usr/bin").bytes.split(
            separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for directory in directories {
            let path = directory.isEmpty ? program : RawString(directory) + "/" + program
            do {
                try checkExecutable(path, isSearched: true)
                // A bare name would be looked up again by whoever gets it.
                return directory.isEmpty ? "./" + program : path
            } catch {
                if case .notFound = error { continue }
                refusal = refusal ?? error
            }
        }
        throw refusal ?? .notFound(program: program, searchedPATH: true)
    }

    /// Resolves the program and follows its interpreters to the ELF file that runs.
    public func inspect(_ program: RawString) throws(LaunchError) -> TargetInspection {
        let path = try resolve(program)
        var chain: [RawString] = [path]
        var warnings: [TargetWarning] = []
        // Interpreters since the last exec, which is what the kernel counts, and files in all.
        var depth = 0
        var script = path
        while let next = chain.last {
            let file = InspectedFile(next)
            guard let file else {
                return result(path, chain, .unreadable, warnings + [.unreadable(path: next)])
            }
            let start = file.source.prefix(Shebang.window)
            if start.starts(with: [0x7f, 0x45, 0x4c, 0x46]) {
                return try finish(path, chain, warnings, file)
            }
            if start.isEmpty { warnings.append(.emptyFile(path: next)) }
            guard let shebang = Shebang(start) else {
                // exec fails with ENOEXEC, and execvp then runs the script it was given, under the shell.
                guard script != "/bin/sh" else {
                    return result(path, chain, .damaged, warnings + [.damaged(path: next)])
                }
                if let place = chain.lastIndex(of: script) { chain.removeSubrange((place + 1)...) }
                try checkInterpreter("/bin/sh", of: script)
                chain.append("/bin/sh")
                script = "/bin/sh"
                continue
            }
            depth += 1
            guard depth <= Self.interpreterLimit, chain.count < 4 * Self.interpreterLimit else {
                throw .tooManyInterpreters(path: path)
            }
            try checkInterpreter(shebang.interpreter, of: next)
            chain.append(shebang.interpreter)
            if shebang.interpreter.lastComponent == "env", let argument = shebang.argument,
                let command = EnvCommand(argument), let found = try? resolve(command.program)
            {
                if command.clearsEnvironment { warnings.append(.environmentCleared(path: next)) }
                chain.append(found)
                script = found
                depth = 0
            }
        }
        throw .notFound(program: program, searchedPATH: false)
    }

    private func finish(
        _ path: RawString, _ chain: [RawString], _ warnings: [TargetWarning], _ file: InspectedFile
    ) throws(LaunchError) -> TargetInspection {
        let elf: ELFFile
        do { elf = try ELFFile(file.source) } catch {
            return result(path, chain, .damaged, warnings + [.damaged(path: file.path)])
        }
        let facts = ELFFacts(elf)
        // A program of another machine is run by an emulator, which may keep its loader elsewhere.
        if let interpreter = facts.interpreter, facts.machine == machine || !facts.is64 {
            try checkInterpreter(interpreter, of: file.path)
        }
        let privileges = privilegeWarnings(file)
        return result(
            path, chain, kind(of: facts), warnings + privileges + self.warnings(about: facts, file.path))
    }

    private func result(
        _ path: RawString, _ chain: [RawString], _ kind: TargetKind, _ warnings: [TargetWarning]
    ) -> TargetInspection {
        TargetInspection(
            path: path, kind: kind, canPreload: !warnings.contains(where: \.preventsPreload),
            warnings: warnings, chain: chain)
    }

    private func kind(of facts: ELFFacts) -> TargetKind {
        if facts.machine != machine || !facts.is64 || facts.isBigEndian { return .foreignProgram }
        if facts.interpreter != nil { return .dynamicProgram }
        if !facts.isPositionIndependent { return .staticProgram }
        // The loader has a name, as a library does, and is not marked as a program.
        return facts.soname != nil && !facts.isMarkedProgram ? .dynamicLoader : .staticPIE
    }

    private func warnings(about facts: ELFFacts, _ path: RawString) -> [TargetWarning] {
        switch kind(of: facts) {
        case .foreignProgram where !facts.is64: return [.otherWordSize(path: path)]
        case .foreignProgram: return [.otherMachine(path: path, machine: facts.machine)]
        case .dynamicLoader: return []
        case .dynamicProgram: break
        default:
            return [
                facts.isGo ? .goProgram(path: path, isStatic: true) : .staticallyLinked(path: path)
            ]
        }
        if let interpreter = facts.interpreter, interpreter.lastComponent.hasPrefix("ld-musl") {
            return [.musl(path: path, interpreter: interpreter)]
        }
        if let name = facts.sanitizer { return [.sanitizer(path: path, name: name)] }
        var warnings: [TargetWarning] = []
        if facts.isGo { warnings.append(.goProgram(path: path, isStatic: false)) }
        if !facts.ownAllocators.isEmpty {
            warnings.append(.ownAllocator(path: path, functions: facts.ownAllocators))
        }
        return warnings
    }

    /// Where exec changes ids or adds capabilities, the loader drops libraries named by a path: ld.so(8),
    /// "Secure-execution mode".
    private func privilegeWarnings(_ file: InspectedFile) -> [TargetWarning] {
        guard canGainPrivileges, !file.isOnNosuidMount else { return [] }
        var warnings: [TargetWarning] = []
        if file.mode & S_ISUID != 0, file.ownerID != userID { warnings.append(.setUserID(path: file.path)) }
        // Without the group's right to execute, the bit means mandatory locking.
        if file.mode & S_ISGID != 0, file.mode & S_IXGRP != 0, file.groupID != groupID {
            warnings.append(.setGroupID(path: file.path))
        }
        if file.hasCapabilities, userID != 0 { warnings.append(.fileCapabilities(path: file.path)) }
        return warnings
    }

    private func checkInterpreter(_ interpreter: RawString, of path: RawString) throws(LaunchError) {
        do { try checkExecutable(interpreter, isSearched: false) } catch {
            if case .notFound = error { throw .missingInterpreter(path: path, interpreter: interpreter) }
            throw error
        }
    }

    private func checkExecutable(_ path: RawString, isSearched: Bool) throws(LaunchError) {
        var status = stat()
        guard path.withCString({ stat($0, &status) }) == 0 else {
            if errno == EACCES { throw .notExecutable(path: path) }
            throw .notFound(program: path, searchedPATH: isSearched)
        }
        if status.st_mode & S_IFMT == S_IFDIR { throw .isDirectory(path: path) }
        guard status.st_mode & S_IFMT == S_IFREG,
            path.withCString({ faccessat(AT_FDCWD, $0, X_OK, AT_EACCESS) }) == 0
        else { throw .notExecutable(path: path) }
    }
}
