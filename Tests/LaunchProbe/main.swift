// SPDX-License-Identifier: Apache-2.0

// launch-probe PROGRAM [ARGS…]: runs PROGRAM as the launcher does and ends as it ends. Where LAUNCH_PROBE_LOG
// names a file, the events go there, one a line; LAUNCH_PROBE_INTERVAL is the wait in milliseconds.

import Glibc
import MemtrackLaunch

func write(_ line: String, to descriptor: Int32) {
    let bytes = Array((line + "\n").utf8)
    _ = Glibc.write(descriptor, bytes, bytes.count)
}

func run() throws(LaunchError) -> Never {
    let environment = Environment.current()
    let log = environment["LAUNCH_PROBE_LOG"].map {
        open($0.description, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    }
    func note(_ line: String) {
        if let log { write(line, to: log) }
    }
    let interval = environment["LAUNCH_PROBE_INTERVAL"].flatMap { Int($0.description) }
    let arguments = Array(rawArguments().dropFirst())
    guard let program = arguments.first else { exit(64) }
    let inspection = try TargetInspector(environment: environment).inspect(program)
    var options = TargetProcess.Options()
    options.announcesLauncher = environment["LAUNCH_PROBE_ANNOUNCE"] != nil
    let target = try TargetProcess(
        path: inspection.path, arguments: arguments, environment: environment, options: options)
    note("pid \(target.pid)")
    while true {
        let event = try target.nextEvent(timeout: interval.map { .milliseconds($0) })
        note("\(event)")
        if let outcome = target.outcome {
            note("maxRSS \(target.usage?.maxRSSBytes ?? 0)")
            target.finish(with: outcome)
        }
    }
}

do throws(LaunchError) { try run() } catch {
    write("launch-probe: \(error)", to: 2)
    exit(error.exitCode)
}
