// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc
import MemtrackLaunch
import MemtrackProfile
import MemtrackReport
import MemtrackSession

@main
enum Main {
    /// An error is one line, that of a command line too: what, why and what to do. Exit status 64 for usage
    /// (sysexits.h), wrong regular expressions included; 1 for the rest, but 2 from `diff`, as from diff(1): there 1 says
    /// that something was found.
    static func main() {
        ProcessSetup.run()
        let arguments = rawArguments().dropFirst().map(\.description)
        var isDiff = false
        do {
            try Subcommand.check(arguments)
            var command = try Memtrack.parseAsRoot(arguments)
            isDiff = command is DiffCommand
            try command.run()
        } catch {
            // A status alone, such as that of a diff that found something: all has been said.
            if let code = error as? ExitCode { exit(code.rawValue) }
            let code = error is ProfileError ? .validationFailure : Memtrack.exitCode(for: error)
            guard !code.isSuccess else { Memtrack.exit(withError: error) }
            var text = Memtrack.message(for: error).split(separator: "\n").joined(separator: " ")
            if !text.contains(";"), !text.hasSuffix(".") {
                text += "; see " + Subcommand.help(for: arguments)
            }
            OutputFile.complain("memtrack: \(Escape.text(text))\n")
            exit(isDiff && code == .failure ? 2 : code.rawValue)
        }
    }
}
