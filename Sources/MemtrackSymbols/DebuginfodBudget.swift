// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Keeps lookups on debuginfod servers from holding up a report.
///
/// libdw asks the servers in `DEBUGINFOD_URLS` for the debug file of each module that has none here. Left
/// alone it waits 90 seconds a file for a server that does not answer. Here a file may take 10 seconds
/// to start coming and 60 to arrive, unless the user's own environment says otherwise; and once all
/// lookups together took two minutes the servers are not asked again.
///
/// The settings are made in our own environment for the time of a lookup only, so that a program
/// started later never inherits them.
final class DebuginfodBudget {
    private static let urls = "DEBUGINFOD_URLS"
    private static let limits = [("DEBUGINFOD_TIMEOUT", "10"), ("DEBUGINFOD_MAXTIME", "60")]
    private var secondsLeft: Double

    init(seconds: Double = 120) {
        secondsLeft = seconds
    }

    /// Runs a libdw call that may look for a debug file.
    func lookUp<Result>(_ body: () -> Result) -> Result {
        guard let servers = environment(Self.urls), !servers.isEmpty else { return body() }
        if secondsLeft <= 0 {
            unsetenv(Self.urls)
            defer { setenv(Self.urls, servers, 1) }
            return body()
        }
        let ours = Self.limits.filter { environment($0.0) == nil }
        for (name, value) in ours { setenv(name, value, 1) }
        let start = monotonicSeconds()
        defer {
            secondsLeft -= monotonicSeconds() - start
            for (name, _) in ours { unsetenv(name) }
        }
        return body()
    }

    private func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    private func monotonicSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
