// SPDX-License-Identifier: Apache-2.0
import FuzzSupport
import Glibc
import MemtrackProfile
import MemtrackRegion
import MemtrackReport
import MemtrackSymbols

/// What libFuzzer runs: any damage to a region gives an error or a report, and never a trap.
///
/// An input is a list of patches of 8 bytes to a region that uses every table: place (2 bytes, a word of 4 bytes), how (1:
/// set 4 bytes, set 8, add, or the byte as it is), 1 unused, value (4). One that begins with ff or fe is a file: see
/// WholeFile.swift.
enum FuzzRegion {
    struct State {
        var path: String
        var descriptor: Int32
        var pristine: [UInt8]
        var mapping: UnsafeMutableRawPointer
    }

    nonisolated(unsafe) static let state: State = {
        let pristine = richBuilder().bytes
        let path = "/dev/shm/memtrack-fuzz-\(getpid())"
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "cannot create \(path)")
        precondition(pwrite(descriptor, pristine, pristine.count, 0) == pristine.count)
        let mapping = mmap(nil, pristine.count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        atexit { unlink("/dev/shm/memtrack-fuzz-\(getpid())") }
        return State(path: path, descriptor: descriptor, pristine: pristine, mapping: mapping!)
    }()

    static func run(_ input: UnsafeRawBufferPointer) {
        if let file = wholeFile(input, of: state.pristine) {
            whole(file)
        } else {
            patched(input)
        }
    }

    private static func whole(_ file: [UInt8]) {
        let path = state.path + "-whole"
        let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0)
        _ = write(descriptor, file, file.count)
        close(descriptor)
        use(path, renders: false)
        unlink(path)
    }

    private static func patched(_ input: UnsafeRawBufferPointer) {
        let words = state.pristine.count / 4
        var touched: [Int] = []
        for at in stride(from: 0, to: min(input.count, 1024) - 7, by: 8) {
            let word = Int(input.loadUnaligned(fromByteOffset: at, as: UInt16.self)) % (words - 1)
            let value = input.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
            let place = state.mapping + word * 4
            switch input[at + 2] & 3 {
            case 0: place.storeBytes(of: value, as: UInt32.self)
            case 1: place.storeBytes(of: UInt64(value) << 32 | UInt64(value), as: UInt64.self)
            case 2: place.storeBytes(of: place.load(as: UInt32.self) &+ value, as: UInt32.self)
            default:
                (place + Int(input[at + 3] & 3)).storeBytes(
                    of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
            }
            touched.append(word)
        }
        use(state.path, renders: Harness.isChosen(input, oneIn: 16))
        for word in touched {
            for byte in word * 4..<min(word * 4 + 8, state.pristine.count) {
                (state.mapping + byte).storeBytes(of: state.pristine[byte], as: UInt8.self)
            }
        }
    }

    private static func use(_ path: String, renders: Bool) {
        guard let file = try? RegionFile(path: path), let snapshot = try? file.snapshot() else { return }
        _ = try? file.ownMemory()
        let builder = ProfileBuilder { file, address in
            [SourceFrame(function: "f\(address & 15)", file: file.path, line: 1)]
        }
        let profile = builder.profile(of: snapshot)
        guard renders else { return }
        let identity = snapshot.identity
        var summary = SessionSummary(
            program: Frame.baseName(identity.executable), pid: identity.pid, commandLine: identity.arguments,
            host: "", start: WallTime(unixSeconds: Double(identity.createdRealtimeNanoseconds) / 1e9),
            duration: 1, ending: .unknown, profile: profile)
        summary.processes = [
            ProcessRecord(identity: identity, totals: profile.totals, isAlive: false, figures: nil)
        ]
        summary.add(markers: snapshot.markers)
        summary.gauges = snapshot.gauges
        let text = FinalReport.render(summary, layout: Layout(width: 80))
        Harness.expectPlainText(text)
        let json = (try? ReportJSON.report(summary)) ?? []
        precondition(!json.isEmpty, "no JSON")
    }
}

@main
enum Main {
    static func main() { Harness.drive(FuzzRegion.run) }
}
