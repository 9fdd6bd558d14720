// SPDX-License-Identifier: Apache-2.0
import Glibc
import MemtrackProfile
import MemtrackRegion
import MemtrackSymbols

// What the reader's parts cost: see Tests/Bench/reader.py, which starts this.
//
//   reader-bench snapshot REGION ROUNDS    reads a region so often; prints milliseconds: first, median, best,
//                                          CPU median; cells; banks
//   reader-bench profile REGION ROUNDS     the same with sums by site, without names
//   reader-bench symbols FILE              hexadecimal addresses on standard input, one a line; prints CPU seconds
//                                          of this process, then for each address its frames:
//                                          function, file:line, innermost first, separated by " < "

func seconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func fail(_ text: String) -> Never {
    let bytes = Array("reader-bench: \(text)\n".utf8)
    _ = write(2, bytes, bytes.count)
    exit(1)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func measure(_ rounds: Int, _ body: () -> Void) -> String {
    var wall: [Double] = []
    var cpu: [Double] = []
    for _ in 0..<max(2, rounds) {
        let (start, startCPU) = (seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID))
        body()
        wall.append((seconds(CLOCK_MONOTONIC) - start) * 1e3)
        cpu.append((seconds(CLOCK_PROCESS_CPUTIME_ID) - startCPU) * 1e3)
    }
    let first = wall.removeFirst()
    cpu.removeFirst()
    return "\(first) \(median(wall)) \(wall.min() ?? 0) \(median(cpu))"
}

func open(_ path: String) -> RegionFile {
    do { return try RegionFile(path: path) } catch { fail("\(error)") }
}

func snapshot(of file: RegionFile) -> RegionSnapshot {
    do { return try file.snapshot() } catch { fail("\(error)") }
}

let words = CommandLine.arguments
switch (words.dropFirst().first, words.count) {
case ("snapshot", 4):
    let file = open(words[2])
    let times = measure(Int(words[3]) ?? 20) { _ = snapshot(of: file) }
    let last = snapshot(of: file)
    print(times, last.cells.count, last.banks)
case ("profile", 4):
    let file = open(words[2])
    let builder = ProfileBuilder { _, address in
        [SourceFrame(function: "f\(address % 1000)", file: nil, line: nil)]
    }
    var memory = NodeStacks()
    let times = measure(Int(words[3]) ?? 20) {
        _ = builder.profile(of: snapshot(of: file), memory: &memory)
    }
    let last = builder.profile(of: snapshot(of: file), memory: &memory)
    print(times, last.sites.count, last.table.count)
case ("symbols", 3):
    var addresses: [UInt64] = []
    while let line = readLine() {
        guard let address = UInt64(line.drop { $0 == "0" || $0 == "x" }, radix: 16) else { fail("'\(line)'") }
        addresses.append(address)
    }
    let start = seconds(CLOCK_PROCESS_CPUTIME_ID)
    let symbolizer = Symbolizer()
    let file = CodeFile(path: words[2], buildID: [])
    // In order of address, as a profile asks for them.
    for address in addresses.sorted() { _ = symbolizer.frames(in: file, address: address) }
    print(seconds(CLOCK_PROCESS_CPUTIME_ID) - start)
    for address in addresses {
        let frames = symbolizer.frames(in: file, address: address)
        print(
            frames.map { frame in
                let place = "\(frame.file ?? "?"):\(frame.line.map(String.init) ?? "?")"
                return "\(frame.function ?? "?") \(place)"
            }.joined(separator: " < "))
    }
default:
    fail("usage: reader-bench snapshot|profile REGION ROUNDS, or reader-bench symbols FILE < ADDRESSES")
}
